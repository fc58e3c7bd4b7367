import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, until, type Fixture } from "../support/app.ts"
import { ended, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
})
afterAll(() => own.close())

const told = (name: string) => log.lines.filter(({ message }) => message.includes(`handler for "${name}"`))

test("a job that no worker has a handler for is parked, uncharged, and reported once", async () => {
  const nobody = defineJob<number>({ name: "nobody" })
  await using _worker = await own.worker(app)
  const jobs = await app.pushMany(nobody, range(20))
  for (const record of await app.wait(jobs, { states: ["blocked"], timeout: "20s" })) {
    expect(record).toMatchObject({ state: "blocked", blockedBy: "handler", attempts: 0, errors: [], worker: undefined })
  }
  expect(told("nobody").map(({ level }) => level)).toEqual(["warn"])
  await Promise.all(jobs.map((job) => job.cancel()))
})

test("a parked job is released when a worker with its handler starts", async () => {
  const soon = defineJob<undefined, string>({ name: "soon" })
  await using _without = await own.worker(app)
  const job = await app.push(soon)
  await reached(app, job, "blocked")
  await using _with = await own.worker(app, { handlers: [soon.handler(() => "at last")] })
  expect(await ended(app, job)).toMatchObject({
    state: "succeeded",
    result: "at last",
    attempts: 1,
    blockedBy: undefined,
  })
})

test("a parked job is released by a handler that has its name as an alias", async () => {
  const before = defineJob<undefined, string>({ name: "old-name" })
  const after = defineJob<undefined, string>({ name: "new-name", aliases: ["old-name"] })
  await using _without = await own.worker(app)
  const job = await app.push(before)
  await reached(app, job, "blocked")
  await using _with = await own.worker(app, { handlers: [after.handler(() => "renamed")] })
  expect(await job.result({ timeout: "20s" })).toBe("renamed")
})

test("a parked job can be cancelled, and made ready by hand", async () => {
  const stuck = defineJob({ name: "stuck" })
  await using _worker = await own.worker(app)
  const job = await app.push(stuck)
  await reached(app, job, "blocked")
  await job.retry()
  await until(async () => (await job.get())!.claims === 2, "it was claimed again")
  await reached(app, job, "blocked")
  expect(await job.cancel()).toBe("cancelled")
})

test("two workers with different handlers share a queue: each runs its own jobs, and none is parked", async () => {
  const left = defineJob<number, string>({ name: "left" })
  const right = defineJob<number, string>({ name: "right" })
  await using _a = await own.worker(app, { id: "a", handlers: [left.handler(() => "a")] })
  await using _b = await own.worker(app, { id: "b", handlers: [right.handler(() => "b")] })
  const jobs = await Promise.all(range(100).map((n) => app.push(n % 2 ? left : right, n)))
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ name, worker, result, attempts }) => ({ name, worker, result, attempts }))).toEqual(
    range(100).map((n) =>
      n % 2
        ? { name: "left", worker: "a", result: "a", attempts: 1 }
        : { name: "right", worker: "b", result: "b", attempts: 1 },
    ),
  )
  expect([...told("left"), ...told("right")]).toEqual([])
})

test("when the only worker with a handler leaves, its jobs are parked by the others", async () => {
  const leaving = defineJob({ name: "leaving" })
  await using _stays = await own.worker(app)
  const goes = await own.worker(app, { handlers: [leaving.handler(() => {})] })
  await ended(app, await app.push(leaving))
  await goes.stop()
  const job = await app.push(leaving)
  expect(await reached(app, job, "blocked")).toMatchObject({ state: "blocked", attempts: 0 })
  await job.cancel()
})
