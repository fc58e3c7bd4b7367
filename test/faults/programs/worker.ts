// A worker as a program would run one, with handlers that a test can follow and command.
import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { Millrace, type Logger, type MillraceOptions, type RunningJob } from "millrace"
import { Worker, type WorkerOptions } from "millrace/worker"
import { machineTime, type Order, type Report } from "../../support/worker-process.ts"
import { block, die, effect, flaky, hold, parent, quick, work } from "../jobs.ts"

export interface WorkerPlan {
  readonly app: Omit<MillraceOptions, "logger" | "pool">
  readonly worker: Omit<WorkerOptions, "handlers" | "executors" | "plugins">
  /** Gives the app a pool instead of the connection string. */
  readonly pooled?: boolean | undefined
  /** Quoted name of the table for effects. */
  readonly effects: string
}

const plan = JSON.parse(process.env.MILLRACE_PLAN!) as WorkerPlan & { readonly label: string }
const held = new Map<string, (order: Order) => void>()

function say(report: Report): void {
  if (process.connected) process.send!({ ...report, at: machineTime() })
}

const log = (level: string) => (message: string, fields?: object) => say({ kind: "log", level, message, fields })
const logger: Logger = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") }

const codeOf = (error: unknown): string => String((error as { code?: unknown })?.code ?? error)

/** Reports the run of a handler from its start to its end. */
function followed<P, R>(run: (payload: P, job: RunningJob) => R | Promise<R>) {
  return async (payload: P, job: RunningJob): Promise<R> => {
    const { id, attempt, crashes, claims } = job
    say({ kind: "started", job: id, attempt, crashes, claims })
    job.signal.addEventListener("abort", () =>
      say({ kind: "aborted", job: id, claims, code: codeOf(job.signal.reason) }),
    )
    try {
      job.log("started")
      const result = await run(payload, job)
      job.log("ended") // not stored yet: whatever happens now happens with a line left
      say({ kind: "ended", job: id, claims })
      return result
    } catch (error) {
      say({ kind: "ended", job: id, claims, code: codeOf(error) })
      throw error
    }
  }
}

function ordered({ id, signal }: RunningJob, obey: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    held.set(id, (order) =>
      order.do === "return" ? resolve({ by: plan.label, value: order.value }) : reject(new Error(String(order.value))),
    )
    if (obey) signal.addEventListener("abort", () => reject(signal.reason as Error))
  })
}

async function affect(n: number, job: RunningJob): Promise<unknown> {
  const { id, claims } = job
  try {
    const result = await job.transaction(async (tx) => {
      await tx.query(`insert into ${plan.effects} (job, n, by) values ($1, $2, $3)`, [id, n, plan.label])
      return { by: plan.label }
    })
    say({ kind: "committed", job: id, claims })
    return result
  } catch (error) {
    say({ kind: "refused", job: id, claims, code: codeOf(error) })
    throw error
  }
}

function spin(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

const handlers = [
  hold.handler(followed(({ obey }, job) => ordered(job, obey === true))),
  quick.handler(followed(({ n }) => ({ n, by: plan.label }))),
  work.handler(followed(({ ms }, { signal }) => sleep(ms, { by: plan.label }, { signal }))),
  effect.handler(followed(({ n }, job) => affect(n, job))),
  flaky.handler(
    followed(({ n }, { attempt }) => {
      if (attempt === 1) throw new Error("not at the first attempt")
      return { n, by: plan.label }
    }),
  ),
  parent.handler(
    followed(async ({ n }, job) => {
      const child = await job.push(quick, { n, tag: "child" })
      return { child: child.id }
    }),
  ),
  block.handler(
    followed(({ ms }, { crashes, claims }) => {
      if (crashes === 0 && claims === 1) spin(ms)
      return { by: plan.label }
    }),
  ),
  die.handler(followed(() => void process.kill(process.pid, "SIGKILL"))),
]

process.on("message", (order: Order) => held.get(order.job)?.(order))
process.on("disconnect", () => process.exit(3)) // the test's process is gone

const { dsn, ...options } = plan.app
const pool = plan.pooled ? new pg.Pool({ connectionString: dsn }) : undefined
const app = new Millrace({ ...options, ...(pool ? { pool } : { dsn }), logger })
const worker = new Worker(app, { ...plan.worker, handlers })
const looking = setInterval(() => {
  if (worker.state === "starting" || worker.state === "new") return
  clearInterval(looking)
  say({ kind: "ready" })
}, 10)
const saved = await worker.run()
say({ kind: "stopped", saved })
await app.close()
await pool?.end()
process.removeAllListeners("disconnect")
process.removeAllListeners("message") // the channel holds the process no more: it ends when nothing else does
