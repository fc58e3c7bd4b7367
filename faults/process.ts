// What worker and pusher processes share: their plan, their recorder, and an end when the harness is gone.
import { fileURLToPath } from "node:url"
import { Worker as Thread } from "node:worker_threads"
import { Millrace, type Logger } from "millrace"
import type { Doing } from "./profiles.ts"
import { Recorder } from "./record.ts"
import { machineTime, timing } from "./timing.ts"

export interface ProcessPlan {
  /** The process: its slot and the number of its start. */
  readonly label: string
  readonly folder: string
  readonly dsn: string
  readonly seed: number
  readonly workerId: string
  readonly notifications: boolean
  readonly doings: Partial<Record<Doing, number>>
  readonly writers: number
  readonly rest: readonly [number, number]
}

export const plan = JSON.parse(process.env.MILLRACE_PLAN!) as ProcessPlan
export const recorder = new Recorder(plan.folder, plan.label)

process.on("disconnect", () => process.exit(3)) // the harness is gone

const log = (level: string) => (message: string, fields?: object) =>
  recorder.note({ t: "log", level, message, fields: fields && printable(fields) })
const printable = (fields: object): object => JSON.parse(JSON.stringify(fields)) as object
const logger: Logger = { debug: () => {}, info: () => {}, warn: log("warn"), error: log("error") }

export function openApp(): Millrace {
  const { dsn, notifications } = plan
  const { queryTimeout, pushTimeout } = timing
  return new Millrace({ dsn, notifications, queryTimeout, pushTimeout, logger })
}

/** A machine that gives a process no time looks like a fault: a thread notices. */
export function watchForStalls(): void {
  const file = fileURLToPath(new URL("./stall-thread.js", import.meta.url))
  new Thread(file, { workerData: { folder: plan.folder, label: plan.label, since: machineTime() } }).unref()
}

/** Nothing of ours keeps the process alive any more. */
export function letGo(): void {
  process.removeAllListeners("disconnect")
  if (process.connected) process.disconnect()
}
