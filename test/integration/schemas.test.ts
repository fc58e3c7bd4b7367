import { defineJob, type Millrace } from "millrace"
import { z } from "zod"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, rejection, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

test("the handler gets the schema's output; the row keeps its input", async () => {
  const dated = defineJob({
    name: "dated",
    payload: z.object({ at: z.iso.datetime().transform((text) => new Date(text)), size: z.number().default(3) }),
    result: z.object({ year: z.number(), size: z.number() }),
  })
  await using _worker = await own.worker(app, {
    handlers: [dated.handler(({ at, size }) => ({ year: at.getUTCFullYear(), size }))],
  })
  const job = await app.push(dated, { at: "2031-05-01T00:00:00Z" })
  expect(await job.result({ timeout: "10s" })).toEqual({ year: 2031, size: 3 })
  expect((await job.get())!.payload).toEqual({ at: "2031-05-01T00:00:00Z" })
})

test("a stored payload that the schema refuses fails the job at once, with the schema's message", async () => {
  let runs = 0
  const old = defineJob<{ count: string }>({ name: "strict" })
  const strict = defineJob({ name: "strict", payload: z.object({ count: z.number("count what?") }), backoff: atOnce })
  await using _worker = await own.worker(app, { handlers: [strict.handler(() => void runs++)] })
  const job = await app.push(old, { count: "three" }, { maxAttempts: 9 })
  const record = await ended(app, job)
  expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ code: "MILLRACE_BAD_PAYLOAD" }] })
  expect(record.errors[0]!.message).toContain("count: count what?")
  expect(runs).toBe(0)
})

test("a refused payload does not ask onError", async () => {
  let asked = 0
  const old = defineJob<number>({ name: "unasked" })
  const strict = defineJob({ name: "unasked", payload: z.string(), onError: () => void asked++ })
  await using _worker = await own.worker(app, { handlers: [strict.handler(() => {})] })
  expect(await ended(app, await app.push(old, 1))).toMatchObject({ state: "failed", attempts: 1 })
  expect(asked).toBe(0)
})

test("a payload that an earlier release stored goes through upgrade", async () => {
  const v1 = defineJob<{ first: string; last: string }>({ name: "named" })
  const v2 = defineJob({
    name: "named",
    payload: z.object({ full: z.string() }),
    upgrade: (stored) => {
      const { first, last } = stored as { first: string; last: string }
      return { full: `${first} ${last}` }
    },
  })
  const seen: string[] = []
  await using _worker = await own.worker(app, { handlers: [v2.handler(({ full }) => void seen.push(full))] })
  expect(await ended(app, await app.push(v1, { first: "Ada", last: "Lovelace" }))).toMatchObject({ state: "succeeded" })
  expect(await ended(app, await app.push(v2, { full: "Grace Hopper" }))).toMatchObject({ state: "succeeded" })
  expect(seen).toEqual(["Ada Lovelace", "Grace Hopper"])
})

test("an upgrade whose output the schema refuses fails the job, not to be tried again", async () => {
  const v1 = defineJob<string>({ name: "no-way-up" })
  const v2 = defineJob({
    name: "no-way-up",
    payload: z.object({ n: z.number() }),
    upgrade: () => ({ n: "still text" }),
  })
  await using _worker = await own.worker(app, { handlers: [v2.handler(() => {})] })
  const record = await ended(app, await app.push(v1, "x"))
  expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ code: "MILLRACE_BAD_PAYLOAD" }] })
})

test("an upgrade that throws fails the attempt like a handler does", async () => {
  let calls = 0
  const v1 = defineJob<string>({ name: "shaky-upgrade" })
  const v2 = defineJob({
    name: "shaky-upgrade",
    payload: z.object({ n: z.number() }),
    upgrade: () => (++calls < 2 ? raise(new Error("the lookup was down")) : { n: 1 }),
  })
  await using _worker = await own.worker(app, { handlers: [v2.handler(() => {})] })
  const record = await ended(app, await app.push(v1, "x", { backoff: atOnce }))
  expect(record).toMatchObject({ state: "succeeded", attempts: 2, errors: [{ message: "the lookup was down" }] })
})

test("asynchronous schemas are awaited, on both sides", async () => {
  const known = defineJob({
    name: "asynchronous",
    payload: z.string().transform(async (text) => text.toUpperCase()),
    result: z.string().refine(async (text) => text !== "NO", "never no"),
    maxAttempts: 1,
  })
  await using _worker = await own.worker(app, { handlers: [known.handler((text) => text)] })
  expect(await (await app.push(known, "yes")).result({ timeout: "10s" })).toBe("YES")
  const refused = await ended(app, await app.push(known, "no"))
  expect(refused).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_BAD_RESULT" }] })
})

test("a result that its schema refuses is a failed attempt, tried again", async () => {
  const counted = defineJob({ name: "counted", result: z.object({ n: z.number() }), payload: z.any(), backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [counted.handler((_, job) => (job.attempt < 2 ? ({ n: "one" } as never) : { n: 1 }))],
  })
  const record = await ended(app, await app.push(counted, null))
  expect(record).toMatchObject({ state: "succeeded", attempts: 2, errors: [{ code: "MILLRACE_BAD_RESULT" }] })
  expect(record.errors[0]!.message).toContain("n: ")
})

test("the result schema's output is what is stored", async () => {
  const trimmed = defineJob({ name: "trimmed", payload: z.any(), result: z.string().trim() })
  await using _worker = await own.worker(app, { handlers: [trimmed.handler(() => "  x  ")] })
  expect(await (await app.push(trimmed, null)).result({ timeout: "10s" })).toBe("x")
})

test("a payload that may be left out arrives as the schema makes it of nothing", async () => {
  const optional = defineJob({ name: "optional", payload: z.object({ n: z.number() }).optional(), result: z.string() })
  await using _worker = await own.worker(app, { handlers: [optional.handler((given) => typeof given)] })
  expect(await (await app.push(optional)).result({ timeout: "10s" })).toBe("undefined")
})

test("a schema that throws fails the attempt, and the worker goes on", async () => {
  let broken = false
  const fragile = defineJob({
    name: "fragile",
    payload: z.any().transform((value: unknown) => (broken ? raise(new Error("schema bug")) : value)),
    maxAttempts: 1,
  })
  const job = await app.push(fragile, { n: 1 })
  broken = true
  await using _worker = await own.worker(app, { handlers: [fragile.handler(() => {})] })
  expect(await ended(app, job)).toMatchObject({ state: "failed", errors: [{ message: "schema bug" }] })
  broken = false
  expect(await ended(app, await app.push(fragile, { n: 2 }))).toMatchObject({ state: "succeeded" })
})

test("a push that the schema refuses is refused at the push", async () => {
  const strict = defineJob({ name: "at-the-push", payload: z.object({ n: z.number() }) })
  expect(await rejection(app.push(strict, { n: "x" } as never))).toMatchObject({ code: "MILLRACE_BAD_PAYLOAD" })
})
