import { cancel, defineJob, discard, retry, retryAfter, snooze, type Directive, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, rejection, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

/** Runs one job with this handler to its end, or to the given state. */
async function run(
  name: string,
  handle: (attempt: number, claims: number) => unknown,
  options: Partial<Parameters<typeof defineJob>[0]> & { onError?: (error: unknown) => Directive | undefined } = {},
) {
  const job = defineJob<undefined, unknown>({ backoff: atOnce, ...options, name } as { name: string })
  await using _worker = await own.worker(app, {
    shutdownTimeout: "1s",
    grace: "1s",
    handlers: [job.handler(async (_, { attempt, claims }) => handle(attempt, claims))],
  })
  return await ended(app, await app.push(job))
}

/** When the job runs next, in seconds after its last attempt ended. */
async function waitOf(id: string): Promise<number> {
  const { rows } = await own.pool.query<{ wait: number }>(
    "select extract(epoch from run_at - ready_at)::float8 as wait from millrace.jobs where id = $1",
    [id],
  )
  return rows[0]!.wait
}

test("a job that throws is tried again until it succeeds, and keeps its errors", async () => {
  const record = await run("third-time-lucky", (attempt) => (attempt < 3 ? raise(new Error(`no ${attempt}`)) : "yes"))
  expect(record).toMatchObject({ state: "succeeded", result: "yes", attempts: 3 })
  expect(record.errors.map(({ message, attempt, name }) => ({ message, attempt, name }))).toEqual([
    { message: "no 1", attempt: 1, name: "Error" },
    { message: "no 2", attempt: 2, name: "Error" },
  ])
})

test("a job fails for good at maxAttempts, and result() tells the last error", async () => {
  const doomed = defineJob({ name: "doomed", maxAttempts: 3, backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [doomed.handler((_, job) => raise(new RangeError(`attempt ${job.attempt}`)))],
  })
  const job = await app.push(doomed)
  const error = await rejection(job.result({ timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_JOB_FAILED", cause: { message: "attempt 3", name: "RangeError" } })
  expect(error.message).toContain("failed after 3 attempts: attempt 3")
  expect(await job.get()).toMatchObject({ state: "failed", attempts: 3, errors: { length: 3 } })
})

test("a job with one attempt is not tried again", async () => {
  let runs = 0
  const record = await run("once", () => raise(new Error(`run ${++runs}`)), { maxAttempts: 1 })
  expect(record).toMatchObject({ state: "failed", attempts: 1 })
  expect(runs).toBe(1)
})

test("the wait between attempts follows the backoff", async () => {
  const backoff = { initial: "100s", factor: 3, max: "250s", jitter: "none" } as const
  const slow = defineJob({ name: "backing-off", backoff })
  await using _worker = await own.worker(app, { handlers: [slow.handler(() => raise(new Error("no")))] })
  const job = await app.push(slow)
  for (const [attempts, wait] of [100, 250, 250].entries()) {
    const record = await reached(app, job, "retrying")
    expect(record).toMatchObject({ state: "retrying", attempts: attempts + 1 })
    expect(await waitOf(job.id)).toBeCloseTo(wait, 3)
    if (attempts < 2) {
      // Sooner than its backoff: a push's own `retry()` makes it ready at once.
      await job.retry()
      await app.wait([job], { states: ["running"], timeout: "1ms" }).catch(() => {})
      await expect.poll(async () => (await job.get())!.attempts, { timeout: 20_000 }).toBe(attempts + 2)
    }
  }
  await job.cancel()
})

test("a push may bring its own backoff and maxAttempts", async () => {
  const either = defineJob({ name: "own-backoff", backoff: { initial: "1s" }, maxAttempts: 9 })
  await using _worker = await own.worker(app, { handlers: [either.handler(() => raise(new Error("no")))] })
  const job = await app.push(either, {}, { backoff: { initial: "77s", jitter: "none" }, maxAttempts: 2 })
  expect(await reached(app, job, "retrying")).toMatchObject({ attempts: 1, maxAttempts: 2 })
  expect(await waitOf(job.id)).toBeCloseTo(77, 3)
  await job.cancel()
})

test("at most 20 errors are kept: the first, and the newest, in order", async () => {
  const record = await run("many-errors", (attempt) => raise(new Error(`error ${attempt}`)), { maxAttempts: 25 })
  expect(record.attempts).toBe(25)
  expect(record.errors.map(({ attempt }) => attempt)).toEqual([1, ...range(19).map((index) => index + 7)])
})

test("an error keeps its code, its stack with its causes, and the time", async () => {
  const coded = Object.assign(new TypeError("outer", { cause: new Error("inner reason") }), { code: "E_OUTER" })
  const { errors } = await run("coded", () => raise(coded), { maxAttempts: 1 })
  expect(errors).toMatchObject([{ name: "TypeError", message: "outer", code: "E_OUTER", attempt: 1 }])
  expect(errors[0]!.stack).toContain("caused by Error: inner reason")
  expect(Number.isNaN(Date.parse(errors[0]!.at!))).toBe(false)
})

test("whatever is thrown is recorded", async () => {
  const record = async (name: string, thrown: unknown) =>
    (await run(name, () => raise(thrown), { maxAttempts: 1 })).errors[0]!.message
  expect(await record("undefined", undefined)).toBe("thrown: undefined")
  expect(await record("null", null)).toBe("thrown: null")
  expect(await record("string", "just text")).toBe("thrown: just text")
  expect(await record("number", 42)).toBe("thrown: 42")
  expect(await record("symbol", Symbol("s"))).toBe("thrown: Symbol(s)")
  expect(await record("object", { some: "object" })).toBe("thrown: [object Object]")
  expect(await record("like-an-error", { message: "looks like one" })).toBe("looks like one")
  expect(await record("no-prototype", Object.create(null))).toBe("an error that cannot be described was thrown")
})

// ---- directives -----------------------------------------------------------------------------------------------------

test("snoozing does not consume an attempt", async () => {
  const seen: { attempt: number; claims: number }[] = []
  const record = await run(
    "snoozing",
    (attempt, claims) => {
      seen.push({ attempt, claims })
      return claims < 4 ? snooze("1ms") : "awake"
    },
    { maxAttempts: 1 },
  )
  expect(record).toMatchObject({ state: "succeeded", result: "awake", attempts: 1, errors: [] })
  expect(seen).toEqual([1, 2, 3, 4].map((claims) => ({ attempt: 1, claims })))
})

test("a thrown snooze is a snooze", async () => {
  const record = await run("snooze-thrown", (_, claims) => (claims < 2 ? raise(snooze(1)) : "awake"), {
    maxAttempts: 1,
  })
  expect(record).toMatchObject({ state: "succeeded", attempts: 1, errors: [] })
})

test("a snoozed job is scheduled for later", async () => {
  const later = defineJob<undefined, unknown>({ name: "snoozed" })
  await using _worker = await own.worker(app, { handlers: [later.handler(() => snooze("5m"))] })
  const job = await app.push(later)
  expect(await reached(app, job, "scheduled")).toMatchObject({ state: "scheduled", attempts: 0 })
  expect(await waitOf(job.id)).toBeCloseTo(300, 3)
  await job.cancel()
})

for (const how of ["returned", "thrown"] as const) {
  const tell = (directive: Directive): unknown => (how === "thrown" ? raise(directive) : directive)

  test(`a ${how} retryAfter waits as long as it says, and uses an attempt`, async () => {
    const limited = defineJob<undefined, unknown>({ name: `retryAfter-${how}` })
    await using _worker = await own.worker(app, {
      handlers: [limited.handler(async () => tell(retryAfter("42s", new Error("too many requests"))))],
    })
    const job = await app.push(limited)
    expect(await reached(app, job, "retrying")).toMatchObject({
      attempts: 1,
      errors: [{ message: "too many requests", attempt: 1 }],
    })
    expect(await waitOf(job.id)).toBeCloseTo(42, 3)
    await job.cancel()
  })

  test(`a ${how} retryAfter at the last attempt fails the job`, async () => {
    const record = await run(`retryAfter-last-${how}`, () => tell(retryAfter("1m", "enough")), { maxAttempts: 1 })
    expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ message: "enough" }] })
  })

  test(`a ${how} retry is a failure with the usual backoff`, async () => {
    const record = await run(`retry-${how}`, (attempt) => (attempt < 2 ? tell(retry("once more")) : "ok"))
    expect(record).toMatchObject({ state: "succeeded", attempts: 2, errors: [{ message: "once more" }] })
  })

  test(`a ${how} discard fails the job whatever attempts it has left`, async () => {
    const record = await run(`discard-${how}`, () => tell(discard(new Error("hopeless"))), { maxAttempts: 9 })
    expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ message: "hopeless" }] })
  })

  test(`a ${how} cancel ends the job as cancelled`, async () => {
    const record = await run(`cancel-${how}`, () => tell(cancel("not wanted any more")))
    expect(record).toMatchObject({
      state: "cancelled",
      errors: [{ message: "not wanted any more", code: "MILLRACE_CANCELLED" }],
    })
  })
}

test("a discard without a reason says so", async () => {
  const record = await run("discard-bare", () => discard())
  expect(record.errors.map(({ message }) => message)).toEqual(["discarded by its handler"])
})

// ---- onError --------------------------------------------------------------------------------------------------------

test("onError may discard, and the job keeps the error that it was asked about", async () => {
  const record = await run("policy-discard", () => raise(new Error("no such customer")), { onError: () => discard() })
  expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ message: "no such customer" }] })
})

test("onError may snooze: the failure is not counted", async () => {
  const record = await run("policy-snooze", (_, claims) => (claims < 3 ? raise(new Error("busy")) : "ok"), {
    maxAttempts: 1,
    onError: () => snooze(1),
  })
  expect(record).toMatchObject({ state: "succeeded", attempts: 1, errors: [] })
})

test("onError may cancel", async () => {
  const record = await run("policy-cancel", () => raise(new Error("gone")), { onError: () => cancel() })
  expect(record).toMatchObject({ state: "cancelled" })
})

test("onError that says nothing leaves it at a retry", async () => {
  const record = await run("policy-nothing", (attempt) => (attempt < 2 ? raise(new Error("no")) : "ok"), {
    onError: () => undefined,
  })
  expect(record).toMatchObject({ state: "succeeded", attempts: 2 })
})

test("onError is told which attempt of which job failed", async () => {
  const told: unknown[] = []
  const watched = defineJob<undefined, unknown>({
    name: "policy-told",
    maxAttempts: 2,
    backoff: atOnce,
    onError: (error, { id, name, queue, attempt, maxAttempts, meta }) => {
      told.push({ error: (error as Error).message, id, name, queue, attempt, maxAttempts, meta: { ...meta } })
    },
  })
  await using _worker = await own.worker(app, { handlers: [watched.handler(() => raise(new Error("why")))] })
  const job = await app.push(watched, undefined, { meta: { a: 1 } })
  await ended(app, job)
  const common = { error: "why", id: job.id, name: "policy-told", queue: "default", maxAttempts: 2, meta: { a: 1 } }
  expect(told).toEqual([
    { ...common, attempt: 1 },
    { ...common, attempt: 2 },
  ])
})

test("onError is not asked about directives", async () => {
  let asked = 0
  const record = await run("policy-unasked", () => raise(discard("by hand")), {
    onError: () => {
      asked += 1
      return undefined
    },
  })
  expect(record).toMatchObject({ state: "failed", errors: [{ message: "by hand" }] })
  expect(asked).toBe(0)
})

test("onError that throws is recorded with the error it was asked about, and the job is tried again", async () => {
  const record = await run("policy-broken", (attempt) => (attempt < 2 ? raise(new Error("first")) : "ok"), {
    onError: () => raise(new Error("broken policy")),
  })
  expect(record).toMatchObject({ state: "succeeded", attempts: 2 })
  expect(record.errors[0]!.message).toContain("first")
  expect(record.errors[0]!.message).toContain("broken policy")
})

test("an error that cannot be made text of is judged by onError like any other", async () => {
  const odd = () => raise(Object.create(null))
  expect(await run("odd-cancel", odd, { onError: () => cancel() })).toMatchObject({ state: "cancelled" })
  expect(await run("odd-broken", odd, { maxAttempts: 1, onError: odd })).toMatchObject({ state: "failed" })
})
