import { defineJob, snooze, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, until, type Fixture } from "../support/app.ts"
import { ended, raise, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

/** A queue that looks by itself only once an hour: what runs sooner was told of, or waited for. */
const seldom = { pollInterval: "1h" } as const

test("a job for later runs when its time has come, and not before", async () => {
  await app.declareQueue({ name: "later", ...seldom })
  const later = defineJob({ name: "later", queue: "later" })
  await using _worker = await own.worker(app, { handlers: [later.handler(() => {})] })
  const job = await app.push(later, {}, { runAt: "in 300ms" })
  expect(await job.get()).toMatchObject({ state: "scheduled" })
  const record = await ended(app, job)
  expect(record.state).toBe("succeeded")
  expect(record.startedAt!.getTime()).toBeGreaterThanOrEqual(record.runAt.getTime())
})

test("a worker elsewhere hears of a job for later, and waits for its time by itself", async () => {
  await app.declareQueue({ name: "elsewhere", ...seldom })
  const later = defineJob({ name: "elsewhere", queue: "elsewhere" })
  await using _worker = await own.worker(app, { handlers: [later.handler(() => {})] })
  const elsewhere = await own.app()
  expect(await ended(app, await elsewhere.push(later, {}, { delay: 200 }))).toMatchObject({ state: "succeeded" })
})

test("a nearer job is waited for, though a later one was waited for already", async () => {
  await app.declareQueue({ name: "nearer", ...seldom })
  const later = defineJob({ name: "nearer", queue: "nearer" })
  await using _worker = await own.worker(app, { handlers: [later.handler(() => {})] })
  const far = await app.push(later, {}, { runAt: "in 30s" })
  const near = await app.push(later, {}, { runAt: "in 100ms" })
  expect(await ended(app, near)).toMatchObject({ state: "succeeded" })
  expect(await far.get()).toMatchObject({ state: "scheduled" })
  await far.cancel()
})

test("without notifications due jobs are found by polling", async () => {
  const quiet = await own.app({ notifications: false })
  const pusher = await own.app({ notifications: false })
  await quiet.declareQueue({ name: "quiet", pollInterval: "50ms" })
  const later = defineJob({ name: "quiet", queue: "quiet" })
  await using _worker = await own.worker(quiet, { handlers: [later.handler(() => {})] })
  const jobs = [await pusher.push(later, {}, { runAt: "in 100ms" }), await pusher.push(later)]
  for (const record of await quiet.wait(jobs, { timeout: "20s" })) expect(record.state).toBe("succeeded")
})

test("a snoozed job comes back by itself", async () => {
  await app.declareQueue({ name: "snoozing", ...seldom })
  const nap = defineJob<undefined, unknown>({ name: "snoozing", queue: "snoozing" })
  await using _worker = await own.worker(app, {
    handlers: [nap.handler((_, job) => (job.claims < 3 ? snooze(30) : "up"))],
  })
  expect(await (await app.push(nap)).result({ timeout: "20s" })).toBe("up")
})

test("a job that failed comes back by itself after its backoff", async () => {
  await app.declareQueue({ name: "backing-off", ...seldom })
  const shaky = defineJob<undefined, string>({ name: "backing-off", queue: "backing-off", backoff: { initial: 30 } })
  await using _worker = await own.worker(app, {
    handlers: [shaky.handler((_, job) => (job.attempt < 3 ? raise(new Error("no")) : "up"))],
  })
  expect(await (await app.push(shaky)).result({ timeout: "20s" })).toBe("up")
})

test("more due jobs than fit one batch all become ready", async () => {
  const many = defineJob<number>({ name: "many" })
  const jobs = await app.pushMany(many, range(1_200), { runAt: "in 1h" })
  await own.pool.query("update millrace.jobs set run_at = now() - interval '1 second' where name = 'many'")
  await using _worker = await own.worker(app, { handlers: [many.handler(() => {})] })
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.every(({ state }) => state === "succeeded")).toBe(true)
})

test("a job whose time is brought forward runs then", async () => {
  await app.declareQueue({ name: "forward", ...seldom })
  const later = defineJob({ name: "forward", queue: "forward" })
  await using _worker = await own.worker(app, { handlers: [later.handler(() => {})] })
  const job = await app.push(later, {}, { runAt: "in 1h" })
  await job.update({ runAt: "in 100ms" })
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
})

test("a job that has not started by its expiry is cancelled", async () => {
  const stale = defineJob({ name: "stale" })
  const job = await app.push(stale, {}, { expiresAt: new Date(0) })
  let runs = 0
  await using _worker = await own.worker(app, { handlers: [stale.handler(() => void runs++)] })
  expect(await ended(app, job)).toMatchObject({
    state: "cancelled",
    attempts: 0,
    errors: [{ code: "MILLRACE_EXPIRED" }],
  })
  expect(runs).toBe(0)
})

test("jobs of a paused queue become ready, and start when it resumes", async () => {
  await app.declareQueue("paused")
  await app.pauseQueue("paused")
  const later = defineJob({ name: "paused", queue: "paused" })
  await using _worker = await own.worker(app, { handlers: [later.handler(() => {})] })
  const job = await app.push(later, {}, { runAt: "in 50ms" })
  await reached(app, job, "pending")
  await app.resumeQueue("paused")
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
})

test("a queue paused until a time resumes by itself", async () => {
  await app.declareQueue({ name: "until", pollInterval: "50ms" })
  const job = defineJob({ name: "until", queue: "until" })
  await using worker = await own.worker(app, { handlers: [job.handler(() => {})] })
  await app.pauseQueue("until", { until: "in 300ms" })
  const pushed = await app.push(job)
  const record = await ended(app, pushed)
  expect(record.state).toBe("succeeded")
  await until(async () => !(await app.queue("until")).paused, "it is not paused any more")
  expect(worker.queues).toContain("until")
})
