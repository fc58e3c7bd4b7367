// Definitions that the tests of executors share with the module of their handlers.
import { defineJob, discard, retryAfter } from "millrace"
import { z } from "zod"

export class NoSuchThing extends Error {}

const queue = "work"

/** Does what its payload says: the behaviours that every executor's conformance asks for. */
export const behave = defineJob<{ do: "succeed" | "fail" | "obey" | "deaf"; file?: string }, unknown>({
  name: "behave",
  queue,
  backoff: { initial: 0 },
})
export const echo = defineJob<unknown, unknown>({ name: "echo", queue, maxAttempts: 1 })
export const dated = defineJob({
  name: "dated",
  queue,
  maxAttempts: 3,
  payload: z.object({ at: z.string().transform((text) => new Date(text)) }),
  result: z.object({ year: z.number().transform(String) }),
})
export const facts = defineJob<undefined, Record<string, unknown>>({ name: "facts", queue, timeout: "1m" })
export const telling = defineJob<undefined, undefined>({ name: "telling", queue })
export const noting = defineJob<{ fail?: boolean }, string>({ name: "noting", queue, backoff: { initial: 0 } })
export const throwing = defineJob<{ how: "class" | "rich" | "text" }, never>({
  name: "throwing",
  queue,
  maxAttempts: 2,
  backoff: { initial: 0 },
  onError: (error, job) => {
    if (error instanceof NoSuchThing) return discard(error)
    if ((error as { code?: string }).code === "E_RICH" && job.attempt === 1) return retryAfter(1, error)
    return undefined
  },
})
export const telldirective = defineJob<{ how: "snooze" | "cancel" | "discard" | "retry" }, string>({
  name: "directive",
  queue,
  maxAttempts: 2,
})
export const pushing = defineJob<{ fail: boolean; bad?: boolean }, string>({ name: "pushing", queue, maxAttempts: 1 })
export const pushed = defineJob({ name: "pushed", queue: "elsewhere", payload: z.object({ n: z.number() }) })
export const booking = defineJob<{ table: string; how: "commit" | "throw" | "snooze" | "loose" | "hang" }, unknown>({
  name: "booking",
  queue,
  maxAttempts: 2,
  backoff: { initial: 0 },
})
export const many = defineJob<number, number>({ name: "many", queue, maxAttempts: 1 })
export const current = defineJob<undefined, unknown>({ name: "current", queue })
export const appPush = defineJob<undefined, string>({ name: "app-push", queue, maxAttempts: 1 })
export const crashing = defineJob<{ how: string; file?: string }, string>({
  name: "crashing",
  queue,
  maxAttempts: 1,
})
export const marked = defineJob<undefined, unknown>({ name: "marked", queue })
