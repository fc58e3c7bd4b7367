import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, type Fixture } from "../support/app.ts"
import { ended, fired, obeying, raise, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
/** Stands for another process: what it does reaches the worker through the database alone. */
let elsewhere: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  elsewhere = await own.app()
})
afterAll(() => own.close())

/** Clocks so long that only a notification can be what told the worker. */
const deaf = { heartbeat: "1h", lease: "3h", queuePoll: "1h", sweep: "1h" } as const

test("cancelling a running job elsewhere fires its signal, by notification", async () => {
  const told = gate<Error & { code?: string }>()
  const endless = defineJob({ name: "endless" })
  await using worker = await own.worker(app, {
    ...deaf,
    handlers: [
      endless.handler(async (_, job) => {
        told.open(await fired(job.signal))
        throw job.signal.reason
      }),
    ],
  })
  const job = await app.push(endless)
  await until(() => worker.running === 1, "it runs")
  expect(await elsewhere.job(job.id).cancel("enough")).toBe("requested")
  expect(await told.opened).toMatchObject({ code: "MILLRACE_CANCELLED" })
  const record = await ended(app, job)
  expect(record).toMatchObject({ state: "cancelled", attempts: 1, cancel: { reason: "enough" } })
  expect(await rejection(job.result())).toMatchObject({
    code: "MILLRACE_CANCELLED",
    message: expect.stringContaining("enough"),
  })
})

test("without notifications the heartbeat fires the signal, and tells the reason", async () => {
  const quiet = await own.app({ notifications: false })
  const quietElsewhere = await own.app({ notifications: false })
  const told = gate<Error & { code?: string }>()
  const endless = defineJob({ name: "endless-quiet" })
  await using worker = await own.worker(quiet, {
    handlers: [
      endless.handler(async (_, job) => {
        told.open(await fired(job.signal))
        throw job.signal.reason
      }),
    ],
  })
  const job = await quiet.push(endless)
  await until(() => worker.running === 1, "it runs")
  await quietElsewhere.job(job.id).cancel("changed my mind")
  const reason = await told.opened
  expect(reason).toMatchObject({ code: "MILLRACE_CANCELLED" })
  expect(reason.message).toContain("changed my mind")
  expect(await ended(quiet, job)).toMatchObject({ state: "cancelled" })
})

test("a job asked to be cancelled ends as cancelled even if its handler returns a result", async () => {
  const open = gate()
  const stubborn = defineJob<undefined, string>({ name: "stubborn" })
  await using worker = await own.worker(app, {
    handlers: [stubborn.handler(() => open.opened.then(() => "my result"))],
  })
  const job = await app.push(stubborn)
  await until(() => worker.running === 1, "it runs")
  expect(await job.cancel()).toBe("requested")
  open.open()
  expect(await ended(app, job)).toMatchObject({ state: "cancelled", result: undefined })
})

test("a cancel wins over a retry, and the error of the attempt is kept", async () => {
  const open = gate()
  const failing = defineJob({ name: "failing", maxAttempts: 5 })
  await using worker = await own.worker(app, {
    handlers: [failing.handler(() => open.opened.then(() => raise(new Error("also broken"))))],
  })
  const job = await app.push(failing)
  await until(() => worker.running === 1, "it runs")
  await job.cancel()
  open.open()
  expect(await ended(app, job)).toMatchObject({ state: "cancelled", errors: [{ message: "also broken" }] })
})

test("a handler that ignores a cancel is settled as cancelled after the grace period", async () => {
  const open = gate()
  const ignoring = defineJob({ name: "ignoring" })
  await using worker = await own.worker(app, { grace: 20, handlers: [ignoring.handler(() => open.opened)] })
  const job = await app.push(ignoring)
  await until(() => worker.running === 1, "it runs")
  await job.cancel()
  expect(await ended(app, job)).toMatchObject({ state: "cancelled" })
  expect(worker.running).toBe(1)
  open.open()
  await until(() => worker.running === 0, "the handler came back")
})

test("a second request changes nothing, and a finished job stays finished", async () => {
  const endless = defineJob({ name: "endless-twice" })
  await using worker = await own.worker(app, { handlers: [endless.handler((_, job) => obeying(job.signal))] })
  const job = await app.push(endless)
  await until(() => worker.running === 1, "it runs")
  await Promise.all([job.cancel("first"), job.cancel("first")])
  const record = await ended(app, job)
  expect(record).toMatchObject({ state: "cancelled", cancel: { reason: "first" } })
  expect(await job.cancel("second")).toBe("finished")
  expect(await job.get()).toEqual(record)
})

test("a job that is claimed but not started never starts once it is cancelled", async () => {
  await app.declareQueue({ name: "narrow", concurrency: 1, claimAhead: 10 })
  const open = gate()
  const ran: string[] = []
  const narrow = defineJob<string>({ name: "narrow", queue: "narrow" })
  const [first, second, third] = await app.pushMany(narrow, ["first", "second", "third"])
  await using worker = await own.worker(app, {
    handlers: [
      narrow.handler(async (name) => {
        ran.push(name)
        await open.opened
      }),
    ],
  })
  await Promise.all([reached(app, first!, "running"), reached(app, second!, "running")])
  await until(() => worker.running === 1, "the first one runs")
  expect(await second!.cancel()).toBe("requested") // in this process, so the worker has heard it now
  open.open()
  expect(await ended(app, second!)).toMatchObject({ state: "cancelled", attempts: 0 })
  expect(await ended(app, third!)).toMatchObject({ state: "succeeded" })
  expect(ran).toEqual(["first", "third"])
})
