// The jobs of the harness. What their handlers do stands in handlers.ts.
import { defineJob } from "millrace"
import type { Script } from "./record.ts"

const impatient = { maxAttempts: 6, backoff: { initial: 20, factor: 1.5, max: 200 } } as const
const patient = { ...impatient, maxAttempts: 30 } as const

/** Takes its time, fails and snoozes as its script says. */
export const task = defineJob<Script>({ name: "task", ...impatient })
/** Notes its effect in the transaction that completes it; an outage during that is a failed attempt. */
export const effect = defineJob<Script>({ name: "effect", ...patient })
/** Pushes a task together with its own success. */
export const parent = defineJob<Script>({ name: "parent", ...impatient })
/** A plugin writes a row in each transaction that settles it. */
export const kept = defineJob<Script>({ name: "kept", ...impatient })
/** Pushed one after the other, run one at a time. */
export const line = defineJob<Script>({ name: "line", queue: "line", ...impatient })
/** Pushed under a key. */
export const single = defineJob<Script>({ name: "single", ...impatient })
/** Is over its time limit as often as it should fail. */
export const over = defineJob<Script>({ name: "over", ...patient, timeout: 300 })
/** Blocks the event loop. */
export const block = defineJob<Script>({ name: "block", ...impatient })
/** Kills the process that runs it. */
export const die = defineJob<Script>({ name: "die", ...impatient })

export const jobs = { task, effect, parent, kept, line, single, over, block, die }
export type JobName = keyof typeof jobs
export const attemptsOf: Readonly<Record<JobName, number>> = {
  task: 6,
  effect: 30,
  parent: 6,
  kept: 6,
  line: 6,
  single: 6,
  over: 30,
  block: 6,
  die: 6, // prettier-ignore
}
