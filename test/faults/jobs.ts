// The jobs of the fault tests. What their handlers do stands in programs/worker.ts.
import { defineJob } from "millrace"

const impatient = { maxAttempts: 20, backoff: { initial: 20, factor: 1.5, max: 300 } } as const

/** Runs until the test tells its handler to return or throw. With `obey`, it throws as soon as its signal fires. */
export const hold = defineJob<{ obey?: boolean; tag?: string }>({ name: "hold", ...impatient })

/** Returns at once. */
export const quick = defineJob<{ n: number; tag?: string }>({ name: "quick", ...impatient })

/** Takes its time; throws as soon as its signal fires. */
export const work = defineJob<{ ms: number }>({ name: "work", ...impatient })

/** Notes its effect in the transaction that completes it. */
export const effect = defineJob<{ n: number }>({ name: "effect", ...impatient })

/** Throws at its first attempt, returns at its second. */
export const flaky = defineJob<{ n: number }>({
  name: "flaky",
  maxAttempts: 3,
  backoff: { initial: 100, jitter: "none" },
})

/** Pushes a `quick` job together with its own success. */
export const parent = defineJob<{ n: number }>({ name: "parent", ...impatient })

/** Blocks the event loop, at its first run. */
export const block = defineJob<{ ms: number }>({ name: "block", ...impatient })

/** Kills the process that runs it. */
export const die = defineJob<object>({ name: "die", ...impatient })
