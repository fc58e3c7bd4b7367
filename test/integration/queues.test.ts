import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace

const work = defineJob<string, string>({ name: "work" })
const ran: string[] = []
const holding = gate()
const finish = gate()

beforeAll(async () => {
  own = await fixture()
  app = await own.app({
    queues: [
      { name: "declared-at-start", concurrency: 3 },
      { name: "changed-before", concurrency: 4 },
    ],
  })
  await app.declareQueue({ name: "changed-before", concurrency: 8 })
  await own.worker(app, {
    tags: ["has=gpu"],
    handlers: [
      work.handler(async (what) => {
        if (what === "hold") {
          holding.open()
          await finish.opened
        }
        ran.push(what)
        return what
      }),
    ],
  })
})
afterAll(() => own.close())

const defaults = {
  concurrency: undefined,
  executor: "async",
  executorOptions: {},
  tags: ["*"],
  claimAhead: undefined,
  pollInterval: 1_000,
  paused: false,
  resumeAt: undefined,
}

test("a queue is declared by name alone, with every default", async () => {
  const queue = await app.declareQueue("plain")
  expect(queue).toMatchObject({ name: "plain", ...defaults, revision: 1 })
  expect(queue.createdAt).toBeInstanceOf(Date)
  expect(await app.queue("plain")).toEqual(queue)
})

test("every option of a queue is stored and read back", async () => {
  const options = {
    name: "Full_0.a:b/c#d-e",
    concurrency: 7,
    executor: "somewhere",
    executorOptions: { nested: { a: [1, null] } },
    tags: ["has=gpu", 'quote"d', "eu-*"],
    claimAhead: 0,
    pollInterval: "250ms",
  }
  expect(await app.declareQueue(options)).toMatchObject({ ...options, pollInterval: 250 })
})

test("declaring again keeps what is there", async () => {
  const first = await app.declareQueue({ name: "kept", concurrency: 2 })
  expect(await app.declareQueue({ name: "kept", concurrency: 9, tags: [] })).toEqual(first)
  expect(await app.declareQueue("kept", { upsert: false })).toEqual(first)
})

test("with upsert the new options replace all old ones, and the revision grows", async () => {
  await app.declareQueue({ name: "replaced", concurrency: 2, claimAhead: 5, tags: ["a"] })
  const second = await app.declareQueue({ name: "replaced", concurrency: 9 }, { upsert: true })
  expect(second).toMatchObject({ name: "replaced", ...defaults, concurrency: 9, revision: 2 })
})

test("upsert leaves a paused queue paused", async () => {
  await app.declareQueue("upserted-paused")
  await app.pauseQueue("upserted-paused")
  expect(await app.declareQueue({ name: "upserted-paused", concurrency: 1 }, { upsert: true })).toMatchObject({
    paused: true,
  })
})

test("one queue declared by many at once is one queue", async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => app.declareQueue("contended")))
  expect(new Set(all.map(({ createdAt }) => createdAt.getTime())).size).toBe(1)
})

test("queues of the app are declared by its workers, and stay as they are when they exist", async () => {
  expect(await app.queue("declared-at-start")).toMatchObject({ concurrency: 3 })
  expect(await app.queue("changed-before")).toMatchObject({ concurrency: 8 })
})

test("queues lists all of them by name", async () => {
  await app.declareQueue("a-first")
  await app.declareQueue("z-last")
  const names = (await app.queues()).map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(["a-first", "plain", "z-last"]))
  expect(new Set(names).size).toBe(names.length)
})

test("a job pushed before its queue is declared waits for it", async () => {
  const job = await app.push(work, "early", { queue: "declared-later" })
  expect((await job.get())?.state).toBe("pending")
  await app.declareQueue("declared-later")
  expect(await job.result({ timeout: "20s" })).toBe("early")
})

test("a paused queue starts nothing, resumed it runs what waited", async () => {
  await app.declareQueue("pausing")
  expect(await (await app.push(work, "before", { queue: "pausing" })).result({ timeout: "20s" })).toBe("before")
  await app.pauseQueue("pausing")
  expect(await app.queue("pausing")).toMatchObject({ paused: true, resumeAt: undefined, revision: 2 })
  const paused = await app.push(work, "while paused", { queue: "pausing" })
  // Another queue's jobs, pushed later, have all been run: the paused one's would have been.
  for (const what of ["w1", "w2", "w3"]) await (await app.push(work, what)).result({ timeout: "20s" })
  expect(await paused.get()).toMatchObject({ state: "pending", claims: 0 })
  await app.resumeQueue("pausing")
  expect(await paused.result({ timeout: "20s" })).toBe("while paused")
  expect(await app.queue("pausing")).toMatchObject({ paused: false, revision: 3 })
})

test("pausing does not disturb what runs", async () => {
  await app.declareQueue("disturbed")
  const job = await app.push(work, "hold", { queue: "disturbed" })
  await holding.opened
  await app.pauseQueue("disturbed")
  finish.open()
  expect(await job.result({ timeout: "20s" })).toBe("hold")
})

test("a queue paused until a time resumes by itself", async () => {
  await app.declareQueue("auto")
  await app.pauseQueue("auto", { until: "in 700ms" })
  const job = await app.push(work, "after the pause", { queue: "auto" })
  expect(await job.result({ timeout: "20s" })).toBe("after the pause")
  const queue = await app.queue("auto")
  expect(queue).toMatchObject({ paused: false, resumeAt: undefined })
  const { rows } = await own.pool.query("select resume_at from millrace.queues where name = 'auto'")
  expect((await job.get())!.startedAt!.getTime()).toBeGreaterThanOrEqual(
    (rows[0] as { resume_at: Date }).resume_at.getTime(),
  )
})

test("until takes a Date, and tells when it resumes", async () => {
  await app.declareQueue("until-date")
  const until = new Date(Date.UTC(2199, 0, 1))
  await app.pauseQueue("until-date", { until })
  expect(await app.queue("until-date")).toMatchObject({ paused: true, resumeAt: until })
  await app.pauseQueue("until-date")
  expect(await app.queue("until-date")).toMatchObject({ paused: true, resumeAt: undefined })
})

test("deleting a queue keeps its waiting jobs, which run when it is declared again", async () => {
  await app.declareQueue("deleted")
  await app.pauseQueue("deleted")
  const job = await app.push(work, "survived", { queue: "deleted" })
  expect(await app.deleteQueue("deleted")).toBe(0)
  expect((await app.queues()).map(({ name }) => name)).not.toContain("deleted")
  expect((await job.get())?.state).toBe("pending")
  await app.declareQueue("deleted")
  expect(await job.result({ timeout: "20s" })).toBe("survived")
})

test("deleting a queue with its jobs deletes all that wait, and says how many", async () => {
  await app.declareQueue({ name: "emptied", tags: [] })
  const jobs = await app.pushMany(
    work,
    Array.from({ length: 1_200 }, (_, n) => `${n}`),
    { queue: "emptied" },
  )
  const later = await app.push(work, "later", { queue: "emptied", delay: "1h", uniqueKey: "of the emptied" })
  const elsewhere = await app.push(work, "other", { queue: "not-emptied" })
  expect(await app.deleteQueue("emptied", { jobs: true })).toBe(1_201)
  expect(await jobs[0]!.get()).toBeUndefined()
  expect(await later.get()).toBeUndefined()
  expect((await elsewhere.get())?.state).toBe("pending")
  expect((await app.push(work, "free", { queue: "free", uniqueKey: "of the emptied" })).duplicate).toBe(false)
})

test("a queue whose tags match no worker waits for one that does", async () => {
  await app.declareQueue({ name: "placed", tags: ["has=tpu"] })
  const job = await app.push(work, "placed", { queue: "placed" })
  for (const what of ["p1", "p2"]) await (await app.push(work, what)).result({ timeout: "20s" })
  expect((await job.get())?.state).toBe("pending")
  await app.declareQueue({ name: "placed", tags: ["has=tpu", "has=g?u"] }, { upsert: true })
  expect(await job.result({ timeout: "20s" })).toBe("placed")
})

test.each<[string, () => Promise<unknown>]>([
  ["queue", () => app.queue("nowhere")],
  ["pauseQueue", () => app.pauseQueue("nowhere")],
  ["resumeQueue", () => app.resumeQueue("nowhere")],
  ["deleteQueue", () => app.deleteQueue("nowhere")],
])("%s of a queue that does not exist is refused, with how to declare it", async (_, call) => {
  const error = await rejection(call())
  expect(error).toMatchObject({ code: "MILLRACE_UNKNOWN_QUEUE" })
  expect(error.message).toContain('app.declareQueue({ name: "nowhere" })')
})

test("a change of concurrency takes effect on a running worker", async () => {
  await app.declareQueue({ name: "resized", concurrency: 1 })
  const open = gate()
  const started: string[] = []
  const slow = defineJob<string>({ name: "slow", queue: "resized" })
  await own.worker(app, {
    handlers: [
      slow.handler(async (what) => {
        started.push(what)
        await open.opened
      }),
    ],
  })
  const jobs = await app.pushMany(slow, ["1", "2", "3"])
  await until(() => started.length === 1, "one has started")
  await app.declareQueue({ name: "resized", concurrency: 3 }, { upsert: true })
  await until(() => started.length === 3, "all have started")
  open.open()
  await app.wait(jobs, { timeout: "20s" })
})
