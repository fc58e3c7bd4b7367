import { randomUUID } from "node:crypto"
import { defineJob, discard, cancel as cancelled, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { z } from "zod"
import { fixture, gate, rejection, until, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace

const sum = defineJob({
  name: "sum",
  payload: z.object({ a: z.number(), b: z.number() }),
  result: z.object({ sum: z.number(), at: z.string().optional() }),
})
const give = defineJob<{ kind: string }, unknown>({ name: "give" })
const fail = defineJob<string>({ name: "fail", maxAttempts: 2, backoff: { initial: 1, max: 1 } })
const hold = defineJob<null, string>({ name: "hold" })
const never = defineJob({ name: "never", queue: "idle" })
const finish = gate()

class Special extends Error {
  override readonly name = "Special"
  readonly code = "E_SPECIAL"
}

beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await app.declareQueue({ name: "idle", tags: [] }) // nobody runs it
  await own.worker(app, {
    handlers: [
      sum.handler(({ a, b }) => ({ sum: a + b })),
      give.handler(({ kind }) => {
        if (kind === "undefined") return undefined
        if (kind === "null") return null
        if (kind === "false") return false
        if (kind === "0") return 0
        if (kind === "text") return 'quote " and \\ and 🌍'
        if (kind === "date") return new Date(0)
        return { deep: [[[{ kind }]]], gone: undefined }
      }),
      fail.handler((how, { attempt }) => {
        if (how === "special") throw new Special("in particular", { cause: new Error("the cause of it") })
        // oxlint-disable-next-line only-throw-error -- users do
        if (how === "text") throw "only text"
        if (how === "discard") return discard("no use")
        if (how === "cancel") return cancelled("not wanted")
        throw new Error(`attempt ${attempt}`)
      }),
      hold.handler(async () => {
        await finish.opened
        return "held"
      }),
    ],
  })
})
afterAll(() => own.close())

test("result returns what the handler returned, typed by the schema", async () => {
  const job = await app.push(sum, { a: 1, b: 2 })
  const { sum: number } = await job.result({ timeout: "20s" })
  expect(number satisfies number).toBe(3)
})

test.each<[string, unknown]>([
  ["undefined", undefined],
  ["null", null],
  ["false", false],
  ["0", 0],
  ["text", 'quote " and \\ and 🌍'],
  ["date", "1970-01-01T00:00:00.000Z"],
  ["object", { deep: [[[{ kind: "object" }]]] }],
])("a handler that returns %s gives exactly that", async (kind, value) => {
  const job = await app.push(give, { kind })
  expect(await job.result({ timeout: "20s" })).toStrictEqual(value)
  expect((await job.get())!.result).toStrictEqual(value)
})

test("a result can be asked for again, later, by id", async () => {
  const job = await app.push(sum, { a: 2, b: 2 })
  await job.result({ timeout: "20s" })
  expect(await app.job(job.id).result({ timeout: "20s" })).toEqual({ sum: 4 })
})

test("a failed job rejects with its last error as the cause", async () => {
  const job = await app.push(fail, "always")
  const error = await rejection(job.result({ timeout: "20s" }))
  expect(error).toMatchObject({ name: "MillraceError", code: "MILLRACE_JOB_FAILED" })
  expect(error.message).toMatch(new RegExp(`${job.id}.*"fail".*2 attempts: attempt 2`))
  expect(error.cause).toBeInstanceOf(Error)
  expect(error.cause).toMatchObject({ name: "Error", message: "attempt 2" })
})

test("the cause keeps name, message, code and stack of what the handler threw", async () => {
  const error = await rejection((await app.push(fail, "special", { maxAttempts: 1 })).result({ timeout: "20s" }))
  const cause = error.cause as Error
  expect(error.message).toMatch(/after 1 attempt: in particular/)
  expect(cause).toMatchObject({ name: "Special", message: "in particular", code: "E_SPECIAL" })
  expect(cause.stack).toContain("results.test.ts")
  expect(cause.stack).toContain("the cause of it")
})

test("what is thrown without being an error is told all the same", async () => {
  const job = await app.push(fail, "text", { maxAttempts: 1 })
  const error = await rejection(job.result({ timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_JOB_FAILED", cause: { message: "thrown: only text" } })
})

test("a job that its handler discards fails with the reason, at the first attempt", async () => {
  const error = await rejection((await app.push(fail, "discard")).result({ timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_JOB_FAILED", cause: { message: "no use" } })
  expect(error.message).toContain("after 1 attempt:")
})

test("a job that its handler cancels rejects as cancelled, with the reason", async () => {
  const error = await rejection((await app.push(fail, "cancel")).result({ timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_CANCELLED", cause: { message: "not wanted" } })
  expect(error.message).toContain("not wanted")
})

test("waiting ends at the timeout, and the job goes on", async () => {
  const job = await app.push(never)
  const error = await rejection(job.result({ timeout: 30 }))
  expect(error).toMatchObject({ code: "MILLRACE_TIMEOUT" })
  expect(error.message).toMatch(/It goes on; wait again or cancel it/)
  expect((await job.get())?.state).toBe("pending")
})

test("with timeout 0 a finished job answers and a waiting one times out", async () => {
  const done = await app.push(sum, { a: 1, b: 1 })
  await done.result({ timeout: "20s" })
  expect(await rejection((await app.push(never)).result({ timeout: 0 }))).toMatchObject({ code: "MILLRACE_TIMEOUT" })
})

test("an id that nobody knows is told at once", async () => {
  const id = randomUUID()
  const error = await rejection(app.job(id).result())
  expect(error).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  expect(error.message).toContain(id)
})

test('waiting for a job with retention "none" is refused, with what to do', async () => {
  const job = await app.push(never, null, { retention: "none" })
  const error = await rejection(job.result())
  expect(error).toMatchObject({ code: "MILLRACE_NO_RESULT" })
  expect(error.message).toMatch(/Push it with a retention/)
})

test("many waiters of one job all get its result", async () => {
  const job = await app.push(hold, null)
  const other = await own.app()
  const waiters = Array.from({ length: 100 }, (_, n) => (n % 2 ? other : app).job(job.id).result({ timeout: "25s" }))
  await until(async () => (await job.get())?.state === "running", "it runs")
  finish.open()
  expect(new Set(await Promise.all(waiters))).toEqual(new Set(["held"]))
})

test("one of many waiters that times out does not take the others along", async () => {
  const job = await app.push(sum, { a: 4, b: 4 }, { delay: "300ms" })
  const impatient = rejection(job.result({ timeout: 1 }))
  const patient = job.result({ timeout: "20s" })
  expect(await impatient).toMatchObject({ code: "MILLRACE_TIMEOUT" })
  expect(await patient).toEqual({ sum: 8 })
})

test("300 jobs are waited for at once", async () => {
  const jobs = await app.pushMany(
    sum,
    Array.from({ length: 300 }, (_, n) => ({ a: n, b: n })),
  )
  const results = await Promise.all(jobs.map((job) => job.result({ timeout: "25s" })))
  expect(results.map((result) => result.sum)).toEqual(Array.from({ length: 300 }, (_, n) => 2 * n))
})

test("without notifications results arrive all the same", async () => {
  const quiet = await own.app({ notifications: false })
  const job = await quiet.push(sum, { a: 20, b: 22 }, { delay: "200ms" })
  expect(await job.result({ timeout: "20s" })).toEqual({ sum: 42 })
})

test("an app without notifications runs its own jobs on its own worker", async () => {
  const quiet = await own.app({ notifications: false, schema: "quiet" })
  await own.worker(quiet, { handlers: [sum.handler(({ a, b }) => ({ sum: a + b }))] })
  expect(await (await quiet.push(sum, { a: 1, b: 2 })).result({ timeout: "20s" })).toEqual({ sum: 3 })
})

test("closing the app ends the waiting", async () => {
  const brief = await own.app()
  const waiting = rejection((await brief.push(never)).result())
  await brief.close()
  expect(await waiting).toMatchObject({ code: "MILLRACE_CLOSED" })
})
