import { defineJob, type Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, rejection, until, type Fixture } from "../support/app.ts"
import { ended, fired, obeying, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
})
afterAll(() => own.close())

const workerRows = async (id: string): Promise<number> =>
  (await own.pool.query("select 1 from millrace.workers where id = $1", [id])).rowCount!

test("stopping lets running jobs finish, and starts no others", async () => {
  await app.declareQueue({ name: "drained", concurrency: 2, claimAhead: 0 })
  const open = gate()
  const slow = defineJob<number>({ name: "slow", queue: "drained" })
  const jobs = await app.pushMany(slow, range(4))
  const worker = await own.worker(app, { shutdownTimeout: "1m", handlers: [slow.handler(() => open.opened)] })
  await until(() => worker.running === 2, "two run")
  let over = false
  const stopped = worker.stop().finally(() => (over = true))
  const state = worker.state
  await app.queues() // a round trip later it still waits
  expect(over).toBe(false)
  open.open()
  expect(await stopped).toBe(true)
  expect([state, worker.state]).toEqual(["stopping", "stopped"])
  const records = await Promise.all(jobs.map((job) => job.get()))
  expect(records.map((record) => record!.state)).toEqual(["succeeded", "succeeded", "pending", "pending"])
})

test("a handler that ignores its signal past shutdownTimeout and grace is handed back, uncharged", async () => {
  const reason = gate<Error & { code?: string }>()
  const open = gate()
  const deaf = defineJob<undefined, string>({ name: "deaf" })
  const worker = await own.worker(app, {
    shutdownTimeout: 20,
    grace: 20,
    handlers: [
      deaf.handler(async (_, job) => {
        void fired(job.signal).then(reason.open)
        await open.opened
        return "late"
      }),
    ],
  })
  const job = await app.push(deaf)
  await until(() => worker.running === 1, "it runs")
  expect(await worker.stop()).toBe(true)
  expect(await reason.opened).toMatchObject({ code: "MILLRACE_SHUTDOWN" })
  const record = await job.get()
  expect(record).toMatchObject({ state: "pending", attempts: 0, crashes: 0, claims: 1, errors: [] })
  open.open()
  await using _next = await own.worker(app, { handlers: [deaf.handler(() => "by another")] })
  expect(await ended(app, job)).toMatchObject({ result: "by another", attempts: 1, claims: 2 })
})

test("a handler that obeys its signal is handed back, uncharged", async () => {
  const obedient = defineJob({ name: "obedient" })
  const worker = await own.worker(app, {
    shutdownTimeout: 20,
    handlers: [obedient.handler((_, job) => obeying(job.signal))],
  })
  const job = await app.push(obedient)
  await until(() => worker.running === 1, "it runs")
  expect(await worker.stop()).toBe(true)
  expect(await job.get()).toMatchObject({ state: "pending", attempts: 0, errors: [] })
  await job.cancel()
})

test("a handler that returns after its signal fired has succeeded", async () => {
  const quick = defineJob<undefined, string>({ name: "quick" })
  const worker = await own.worker(app, {
    shutdownTimeout: 20,
    handlers: [quick.handler(async (_, job) => (await fired(job.signal)) && "wrapped up")],
  })
  const job = await app.push(quick)
  await until(() => worker.running === 1, "it runs")
  expect(await worker.stop()).toBe(true)
  expect(await job.get()).toMatchObject({ state: "succeeded", result: "wrapped up" })
})

test("what was claimed ahead is handed back at once, uncharged, while others still finish", async () => {
  await app.declareQueue({ name: "ahead", concurrency: 1, claimAhead: 10 })
  const open = gate()
  const slow = defineJob<number>({ name: "slow-ahead", queue: "ahead" })
  const jobs = await app.pushMany(slow, range(5))
  const worker = await own.worker(app, { shutdownTimeout: "1m", handlers: [slow.handler(() => open.opened)] })
  await app.wait(jobs, { states: ["running"], timeout: "20s" })
  await until(() => worker.running === 1, "it runs")
  const stopped = worker.stop()
  const waiting = await app.wait(jobs.slice(1), { states: ["pending"], timeout: "20s" })
  expect(waiting.map(({ state, attempts }) => [state, attempts])).toEqual(range(4).map(() => ["pending", 0]))
  open.open()
  await stopped
  expect(await jobs[0]!.get()).toMatchObject({ state: "succeeded" })
  await app.deleteQueue("ahead", { jobs: true })
})

test("forceStop fires the signals at once, and hands back", async () => {
  const obedient = defineJob({ name: "forced" })
  const worker = await own.worker(app, {
    shutdownTimeout: "1h",
    handlers: [obedient.handler((_, job) => obeying(job.signal))],
  })
  const job = await app.push(obedient)
  await until(() => worker.running === 1, "it runs")
  expect(await worker.forceStop()).toBe(true)
  expect(await job.get()).toMatchObject({ state: "pending", attempts: 0 })
  await job.cancel()
})

test("forceStop hurries a stop that is under way", async () => {
  const obedient = defineJob({ name: "hurried" })
  const worker = await own.worker(app, {
    shutdownTimeout: "1h",
    handlers: [obedient.handler((_, job) => obeying(job.signal))],
  })
  const job = await app.push(obedient)
  await until(() => worker.running === 1, "it runs")
  const stopped = worker.stop()
  expect(await Promise.all([worker.forceStop(), stopped])).toEqual([true, true])
  expect(await job.get()).toMatchObject({ state: "pending" })
  await job.cancel()
})

test("the worker's row is there while it runs, and gone when it has stopped", async () => {
  const worker = await own.worker(app, { id: "seen" })
  expect(await workerRows("seen")).toBe(1)
  await worker.stop()
  expect(await workerRows("seen")).toBe(0)
})

test("stopping twice is stopping once", async () => {
  const worker = await own.worker(app)
  expect(await Promise.all([worker.stop(), worker.stop()])).toEqual([true, true])
  expect(await worker.stop()).toBe(true)
  expect(worker.state).toBe("stopped")
})

test("a worker stopped before it was started never starts", async () => {
  const worker = new Worker(app)
  expect(worker.state).toBe("new")
  expect(await worker.stop()).toBe(true)
  expect(worker.state).toBe("stopped")
  expect(await rejection(worker.start())).toMatchObject({ code: "MILLRACE_NOT_STARTED" })
})

test("a worker is not started twice", async () => {
  const worker = await own.worker(app)
  expect(await rejection(worker.start())).toMatchObject({ code: "MILLRACE_NOT_STARTED" })
  expect(worker.state).toBe("running")
  await worker.stop()
  expect(await rejection(worker.start())).toMatchObject({ code: "MILLRACE_NOT_STARTED" })
})

test("a stop while the worker is starting stops it, and leaves no row", async () => {
  const worker = new Worker(app, { id: "hasty" })
  const started = worker.start()
  expect(worker.state).toBe("starting")
  const stopped = worker.stop()
  await Promise.allSettled([started])
  expect(await stopped).toBe(true)
  expect(worker.state).toBe("stopped")
  expect(await workerRows("hasty")).toBe(0)
})

test("run() lasts until the worker has stopped, and takes its process signals off", async () => {
  const before = process.listenerCount("SIGTERM")
  const worker = new Worker(app, { shutdownTimeout: "5s" })
  const ran = worker.run()
  await until(() => process.listenerCount("SIGTERM") === before + 1, "it handles signals")
  await worker.stop()
  expect(await ran).toBe(true)
  await until(() => process.listenerCount("SIGTERM") === before, "it handles signals no more")
})

test("start() leaves process signals alone", async () => {
  const before = process.listenerCount("SIGTERM")
  const worker = await own.worker(app)
  expect(process.listenerCount("SIGTERM")).toBe(before)
  await worker.stop()
})

test("a job that waits for its backoff does not hold up a stop", async () => {
  const failing = defineJob({ name: "failing", backoff: { initial: "1h", jitter: "none" } })
  const worker = await own.worker(app, {
    handlers: [
      failing.handler(() => {
        throw new Error("no")
      }),
    ],
  })
  const job = await app.push(failing)
  await reached(app, job, "retrying")
  expect(await worker.stop()).toBe(true)
  expect(await job.get()).toMatchObject({ state: "retrying", attempts: 1 })
  await job.cancel()
})

test("outcomes that end together with the stop are all saved", async () => {
  const open = gate()
  const many = defineJob<number, number>({ name: "many" })
  const jobs = await app.pushMany(many, range(300))
  await app.declareQueue({ name: "default", concurrency: 300 }, { upsert: true })
  const worker = await own.worker(app, { handlers: [many.handler((n) => open.opened.then(() => n))] })
  await until(() => worker.running === 300, "all run")
  const stopped = worker.stop()
  open.open()
  expect(await stopped).toBe(true)
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ state, result, claims }) => ({ state, result, claims }))).toEqual(
    range(300).map((result) => ({ state: "succeeded", result, claims: 1 })),
  )
})
