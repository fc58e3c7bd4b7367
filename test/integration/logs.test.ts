import { defineJob, type JobEvent, type Millrace, type Reference } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise, range } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const messages = async (job: Reference) => (await job.logs()).map(({ message }) => message)

test("lines are readable while the job runs, and after it has finished", async () => {
  const go = gate()
  const talk = defineJob({ name: "talk" })
  await using _worker = await own.worker(app, {
    handlers: [
      talk.handler(async (_, job) => {
        job.log("started", { size: 3, deep: { list: [1, null] } })
        job.log.warn("slow disk")
        await go.opened
        job.log.error("the last words")
      }),
    ],
  })
  const before = Date.now()
  const job = await app.push(talk)
  const lines = await until(async () => {
    const found = await job.logs()
    return found.length === 2 && found
  }, "both lines are stored while it runs")
  expect(lines).toMatchObject([
    { n: 1, attempt: 1, level: "info", message: "started", fields: { size: 3, deep: { list: [1, null] } } },
    { n: 2, attempt: 1, level: "warn", message: "slow disk", fields: {} },
  ])
  expect(Math.abs(lines[0]!.at.getTime() - before)).toBeLessThan(60_000)
  go.open()
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
  expect(await messages(job)).toEqual(["started", "slow disk", "the last words"])
})

test("what is written right before the end is there when the end is", async () => {
  const quick = defineJob<number>({ name: "quick" })
  await using _worker = await own.worker(app, { handlers: [quick.handler((n, job) => job.log(`number ${n}`))] })
  const jobs = await app.pushMany(quick, range(300))
  await app.wait(jobs, { timeout: "20s" })
  expect((await Promise.all(jobs.map(messages))).flat()).toEqual(range(300).map((n) => `number ${n}`))
})

test("lines of all attempts are numbered on", async () => {
  const failing = defineJob({ name: "failing", backoff: atOnce, maxAttempts: 3 })
  await using _worker = await own.worker(app, {
    handlers: [failing.handler((_, job) => (job.log("try"), raise(new Error("no"))))],
  })
  const job = await app.push(failing)
  expect(await ended(app, job)).toMatchObject({ state: "failed" })
  expect((await job.logs()).map(({ n, attempt }) => [n, attempt])).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
  ])
})
