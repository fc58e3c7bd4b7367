import type { EventHub } from "../client/hub.ts"
import type { Ended } from "../model/plugin.ts"
import type { RunningJob } from "../model/running-job.ts"

/** Tells the hub of jobs; free where nobody hears them. */

const ends = new Set(["succeeded", "failed", "retrying", "cancelled"])

export function tellStarted(hub: EventHub, worker: string, job: RunningJob): void {
  if (hub.hears("job.started")) hub.emit("job.started", bodyOf(job, worker))
}

export function tellEnded(hub: EventHub, worker: string, batch: () => readonly Ended[]): void {
  if (![...ends].some((state) => hub.hears(`job.${state}`))) return
  for (const { job, state } of batch()) {
    if (ends.has(state)) hub.emit(`job.${state as "failed"}`, bodyOf(job, worker))
  }
}

export function tellFull(hub: EventHub, worker: string, queue: string): void {
  if (hub.hears("queue.full")) hub.emit("queue.full", { queue, worker })
}

const bodyOf = ({ id, name, queue, attempt }: RunningJob, worker: string) => ({ id, name, queue, attempt, worker })
