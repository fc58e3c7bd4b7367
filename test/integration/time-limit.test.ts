import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, rejection, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, fired, obeying } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
})
afterAll(() => own.close())

test("over its time limit a job's signal fires with MILLRACE_TIMEOUT, and the attempt fails", async () => {
  const slow = defineJob({ name: "slow", timeout: 20, maxAttempts: 1 })
  await using _worker = await own.worker(app, { handlers: [slow.handler((_, job) => obeying(job.signal))] })
  const record = await ended(app, await app.push(slow))
  expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ code: "MILLRACE_TIMEOUT" }] })
  expect(record.errors[0]!.message).toContain("20 ms")
})

test("a job out of time is tried again while it has attempts", async () => {
  const slow = defineJob<undefined, string>({ name: "slow-once", timeout: 30, backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [slow.handler((_, job) => (job.attempt < 2 ? obeying(job.signal) : "in time"))],
  })
  const record = await ended(app, await app.push(slow, undefined, { timeout: "20ms" }))
  expect(record).toMatchObject({ state: "succeeded", result: "in time", attempts: 2 })
})

test("a handler sees how much of its time remains", async () => {
  const seen: (number | undefined)[] = []
  const looking = defineJob({ name: "looking", timeout: "1m" })
  const out = defineJob({ name: "looking-late", timeout: 10, maxAttempts: 1 })
  await using _worker = await own.worker(app, {
    handlers: [
      looking.handler((_, job) => void seen.push(job.remaining)),
      out.handler(async (_, job) => {
        await fired(job.signal)
        seen.push(job.remaining)
      }),
    ],
  })
  await ended(app, await app.push(looking))
  await ended(app, await app.push(out))
  expect(seen[0]).toBeGreaterThan(0)
  expect(seen[0]).toBeLessThanOrEqual(60_000)
  expect(seen[1]).toBeLessThanOrEqual(1) // timers may be a hair early
})

test("a handler that returns after its signal fired has done its work", async () => {
  const late = defineJob<undefined, string>({ name: "late-but-done", timeout: 10, maxAttempts: 1 })
  await using _worker = await own.worker(app, {
    handlers: [late.handler(async (_, job) => (await fired(job.signal)) && "done all the same")],
  })
  expect(await ended(app, await app.push(late))).toMatchObject({ state: "succeeded", result: "done all the same" })
})

test("a handler that ignores its signal is settled after the grace period, and what it returns late changes nothing", async () => {
  const open = gate()
  const deaf = defineJob<undefined, string>({ name: "deaf", timeout: 10, maxAttempts: 1 })
  await using worker = await own.worker(app, {
    grace: 20,
    handlers: [deaf.handler(() => open.opened.then(() => "late"))],
  })
  const job = await app.push(deaf)
  const before = await ended(app, job)
  expect(before).toMatchObject({ state: "failed", attempts: 1, errors: [{ code: "MILLRACE_TIMEOUT" }] })
  expect(worker.running).toBe(1) // it does go on
  expect(log.lines).toContainEqual(
    expect.objectContaining({ level: "warn", fields: { code: "MILLRACE_HANDLER_STUCK", reason: "timeout" } }),
  )
  open.open()
  await until(() => worker.running === 0, "the handler came back")
  await worker.stop()
  expect(await job.get()).toEqual(before)
})

test("an attempt given up does not touch the one that follows it", async () => {
  const first = gate()
  const second = gate()
  const pushed: Promise<Error & { code?: string }>[] = []
  const twice = defineJob<undefined, string>({ name: "twice", maxAttempts: 2, backoff: atOnce })
  await using worker = await own.worker(app, {
    grace: 20,
    handlers: [
      twice.handler(async (_, job) => {
        if (job.attempt === 2) return second.opened.then(() => "new")
        await first.opened
        job.progress("from the first")
        job.meta.from = "the first"
        pushed.push(rejection(job.push(twice, undefined)))
        return "old"
      }),
    ],
  })
  const job = await app.push(twice, undefined, { timeout: "10ms" })
  await until(() => worker.running === 2, "the second attempt runs beside the first")
  first.open()
  await until(() => worker.running === 1, "the first one came back")
  expect(await job.get()).toMatchObject({ attempts: 1, meta: {} })
  second.open()
  // The second may run into its own time limit, or not: what counts is that the first decided nothing.
  const record = await ended(app, job)
  expect(record).toMatchObject({ attempts: 2, progress: undefined, meta: {} })
  expect(record.result).not.toBe("old")
  expect(await pushed[0]).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
})

test("time spent waiting in the queue does not count", async () => {
  const job = defineJob<undefined, boolean>({ name: "waited", timeout: "10s", maxAttempts: 1 })
  const pushed = await app.push(job)
  await own.pool.query(
    "update millrace.jobs set created_at = now() - interval '1 hour', ready_at = now() - interval '1 hour'",
  )
  await using _worker = await own.worker(app, { handlers: [job.handler((_, running) => running.remaining! > 0)] })
  expect(await pushed.result({ timeout: "10s" })).toBe(true)
})
