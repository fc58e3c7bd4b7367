// Types flow from a definition to push, handler and result. Never run: `tsc --noEmit` is the test.
import {
  defineJob,
  discard,
  Millrace,
  snooze,
  type JobDefinition,
  type JobEvent,
  type Logger,
  type LogLine,
  type Pushable,
  type Reference,
} from "millrace"
import { Worker } from "millrace/worker"
import { z } from "zod"

/** Compiles when both types are the same, not merely assignable. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(yes: Same<A, B>): boolean => yes

const app = new Millrace({ dsn: "postgres://", logger: false })

// Schemas: pushes take the input, handlers get the output.

const resize = defineJob({
  name: "resize",
  payload: z.object({ url: z.string(), width: z.string().transform(Number), quality: z.number().default(80) }),
  result: z.object({ bytes: z.number() }),
  uniqueKey: (payload) => {
    same<typeof payload, { url: string; width: string; quality?: number | undefined }>(true)
    return payload.url
  },
})
type ResizeInput = { url: string; width: string; quality?: number | undefined }
type ResizeOutput = { url: string; width: number; quality: number }
same<typeof resize, JobDefinition<ResizeInput, ResizeOutput, { bytes: number }>>(true)

export async function pushed(): Promise<void> {
  const job = await app.push(resize, { url: "x", width: "200" }, { priority: 1, runAt: "in 10m" })
  same<typeof job, Reference<{ bytes: number }>>(true)
  const result = await job.result({ timeout: "1m" })
  same<typeof result, { bytes: number }>(true)
  const record = await job.get()
  same<NonNullable<typeof record>["result"], { bytes: number } | undefined>(true)
  const many = await app.pushMany(resize, [{ url: "x", width: "1" }], { priority: 2 })
  same<typeof many, Reference<{ bytes: number }>[]>(true)
  await app.pushMany(resize, new Set([{ url: "x", width: "1" }]))
  await app.wait([job, ...many], { states: ["running", "failed"] })

  // @ts-expect-error a field is missing
  await app.push(resize, { url: "x" })
  // @ts-expect-error a field has the output's type
  await app.push(resize, { url: "x", width: 200 })
  // @ts-expect-error a payload is needed
  await app.push(resize)
  // @ts-expect-error an option is misspelt
  await app.push(resize, { url: "x", width: "1" }, { piority: 1 })
  // @ts-expect-error an option has the wrong type
  await app.push(resize, { url: "x", width: "1" }, { priority: "high" })
  // @ts-expect-error there is no such scope
  await app.push(resize, { url: "x", width: "1" }, { uniqueKey: { key: "k", scope: "all" } })
  // @ts-expect-error one id cannot be many jobs'
  await app.pushMany(resize, [{ url: "x", width: "1" }], { id: "…" })
  // @ts-expect-error one of the payloads is wrong
  await app.pushMany(resize, [{ url: "x", width: "1" }, { url: "x" }])
  // @ts-expect-error there is no such state
  await app.wait([job], { states: ["done"] })
  // @ts-expect-error the result has no such field
  void (await job.result()).size
}

export const handlers = [
  resize.handler((payload, job) => {
    same<typeof payload, ResizeOutput>(true)
    same<typeof job.signal, AbortSignal>(true)
    return { bytes: payload.width * 2 }
  }),
  resize.handler(async () => ({ bytes: 1 })),
  resize.handler(({ url }) => (url === "" ? discard("nothing to do") : snooze("5m"))),
  resize.handler((_, job) => job.transaction(async (tx) => (await tx.query("select 1"), { bytes: 1 }))),
  resize.batch({ size: 10 }, (jobs) => {
    same<(typeof jobs)[number]["payload"], ResizeOutput>(true)
    return jobs.map(({ payload }) => (payload.url === "" ? new Error("no url") : { bytes: payload.width }))
  }),
  resize.batch({ size: 10 }, () => {}),

  // @ts-expect-error the result has the wrong type
  resize.handler(() => ({ bytes: "many" })),
  // @ts-expect-error the schema wants a result
  resize.handler(() => {}),
  // @ts-expect-error the payload has no such field
  resize.handler(({ height }) => ({ bytes: Number(height) })),
  // @ts-expect-error what the transaction returns is the result
  resize.handler((_, job) => job.transaction(async () => ({ size: 1 }))),
  // @ts-expect-error an entry has the wrong type
  resize.batch({ size: 10 }, (jobs) => jobs.map(() => ({ size: 1 }))),
  // @ts-expect-error a batch has a size
  resize.batch({}, () => {}),
]

// Types alone.

const greet = defineJob<{ name: string }, string>({
  name: "greet",
  uniqueKey: ({ name }) => ({ key: name, scope: "queue" }),
})
same<typeof greet, JobDefinition<{ name: string }, { name: string }, string>>(true)

export async function withTypes(): Promise<void> {
  const text = await (await app.push(greet, { name: "Ada" })).result()
  same<typeof text, string>(true)
  // @ts-expect-error a field has the wrong type
  await app.push(greet, { name: 5 })
  // @ts-expect-error a payload is needed
  await app.push(greet)
}

export const greetings = [
  greet.handler(({ name }) => `hello ${name}`),
  // @ts-expect-error the result has the wrong type
  greet.handler(() => 5),
]

// No types: anything goes in, nothing is known of what comes out; the payload may be left out.

const untyped = defineJob({ name: "untyped" })

export async function withoutTypes(): Promise<void> {
  await app.push(untyped)
  const job = await app.push(untyped, { any: ["thing"] })
  const result = await job.result()
  same<typeof result, unknown>(true)
  const later = app.job<number>(job.id)
  same<typeof later, Reference<number>>(true)
}

const optional = defineJob({ name: "optional", payload: z.object({ all: z.boolean() }).optional() })

export async function withOptionalPayload(): Promise<void> {
  await app.push(optional)
  await app.push(optional, undefined, { priority: 1 })
  await app.push(optional, { all: true })
  // @ts-expect-error a field has the wrong type
  await app.push(optional, { all: "yes" })
}

// Inside a handler.

export const pushing = greet.handler(async ({ name }, job) => {
  await job.push(resize, { url: name, width: "1" }, { delay: "1m" })
  job.progress({ half: true })
  // @ts-expect-error the other job's payload has another type
  await job.push(resize, { name })
  // @ts-expect-error its transaction is this job's own
  await job.push(resize, { url: name, width: "1" }, { tx: {} })
  return name
})

// Whoever only pushes needs no more than this of a definition.

export function pushTwice<Input, Result>(
  job: Pushable<Input, Result>,
  payloads: Input[],
): Promise<Reference<Result>[]> {
  return app.pushMany(job, payloads)
}
export const twice: () => Promise<Reference<string>[]> = () => pushTwice(greet, [{ name: "Ada" }])

// Definitions, apps and workers.

export function refused(): void {
  // @ts-expect-error a name is needed
  defineJob({ queue: "media" })
  // @ts-expect-error an option is misspelt
  defineJob({ name: "x", maxAttemps: 3 })
  // @ts-expect-error a schema is no plain object
  defineJob({ name: "x", payload: { type: "object" } })
  // @ts-expect-error an option is misspelt
  void new Millrace({ dns: "postgres://" })
  // @ts-expect-error a handler is made by its definition
  void new Worker(app, { handlers: [() => {}] })
  // @ts-expect-error concurrency belongs to a queue
  void new Worker(app, { concurrency: 5 })
  // @ts-expect-error a queue has a name
  void app.declareQueue({ concurrency: 5 })
}

// Logs: a job's log is a function, has levels, and is a logger for whatever wants one.

resize.handler((_, job) => {
  job.log("resized", { width: 1, nested: { any: ["thing"] } })
  job.log.warn("slow")
  const logger: Logger = job.log
  logger.error("x", new Error("fields are any object"))
  // @ts-expect-error fields are an object
  job.log("resized", 3)
  // @ts-expect-error there is no such level
  job.log.fatal("x")
  return { bytes: 1 }
})

export async function followed(job: Reference): Promise<void> {
  const lines = await job.logs({ after: 3, limit: 10 })
  same<typeof lines, LogLine[]>(true)
  for await (const event of job.follow({ signal: AbortSignal.timeout(1) })) {
    same<typeof event, JobEvent>(true)
    if (event.type === "log") same<typeof event.level, "debug" | "info" | "warn" | "error">(true)
    else if (event.type === "progress") same<typeof event.progress, unknown>(true)
    else same<typeof event.job.id, string>(true)
  }
}
