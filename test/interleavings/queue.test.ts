import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { parseQueue } from "../../src/model/queue.ts"
import { declareQueue, deleteQueue, pauseQueue, resumeQueue } from "../../src/postgres/queues.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, succeeded } from "./support/stage.ts"
import { claiming, saying } from "./support/tap.ts"
import { times, until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("#8 a claim that read the queue before the pause committed completes; the next one takes nothing", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const ids = await s.push([{}, {}, {}])
  await a.begin()
  const { claims, summary } = await s.call(member, { limit: 1, on: a.db })
  expect(summary.paused).toBe(false)
  expect(await pauseQueue(s.db, s.names, "default", undefined)).toBe(true)
  await a.commit()
  expect(await s.states(ids)).toEqual(["running", "pending", "pending"])
  const next = await s.call(member, { limit: 5, settle: [succeeded(claims[0]!)] })
  expect(next).toMatchObject({ ids: [], summary: { paused: true, stale: null, revision: 2 } })
  expect(await s.states(ids), "what runs is settled all the same").toEqual(["succeeded", "pending", "pending"])
  await resumeQueue(s.db, s.names, "default")
  expect((await s.call(member, { limit: 5 })).ids).toEqual(ids.slice(1))
})

test("#8 a pause that has not committed neither blocks a claim nor stops it", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const ids = await s.push([{}, {}])
  await a.begin()
  await pauseQueue(a.db, s.names, "default", undefined)
  expect((await s.call(member, { limit: 1 })).ids).toEqual([ids[0]])
  await a.commit()
  expect((await s.call(member, { limit: 1 })).ids).toEqual([])
})

test("#8 jobs that a worker has claimed, but not started, go back uncharged when it hears of the pause", async () => {
  await using s = await openStage(database)
  const app = s.app()
  // Its own poll would hand them back too, as jobs that have waited for too long.
  await app.declareQueue({ name: "default", concurrency: 1, claimAhead: 5, pollInterval: "1h" }, { upsert: true })
  const gate = deferred<string>()
  const job = defineJob<number, string>({ name: "job" })
  const started: number[] = []
  const references = await app.pushMany(job, [0, 1, 2, 3])
  const ids = references.map(({ id }) => id)
  await s.worker(app, {
    handlers: [
      job.handler(async (n) => {
        started.push(n)
        return gate.promise
      }),
    ],
  })
  await until("all are claimed", async () => (await s.states(ids)).every((state) => state === "running"))
  await s.app().pauseQueue("default")
  await until("three are handed back", async () => (await s.states(ids)).join() === "running,pending,pending,pending")
  gate.resolve("done")
  await s.untilState(ids[0]!, "succeeded")
  expect(await s.states(ids), "nothing starts while it is paused").toEqual([
    "succeeded",
    "pending",
    "pending",
    "pending",
  ])
  for (const id of ids.slice(1)) expect(await s.row(id)).toMatchObject({ attempts: 0, crashes: 0, token: null })
  expect(started).toEqual([0])
  await s.app().resumeQueue("default")
  await app.wait(references, { timeout: "10s" })
  expect(started, "in their order").toEqual([0, 1, 2, 3])
})

test("#8 claims that a pause overtook on their way to the worker go back unstarted", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, string>({ name: "job" })
  let runs = 0
  const { id } = await app.push(job, null)
  const hold = tap.hold("after", claiming)
  await s.worker(app, { handlers: [job.handler(() => `run ${++runs}`)], queuePoll: "50ms" })
  await hold.reached
  expect(await s.state(id)).toBe("running")
  await app.pauseQueue("default")
  // Readings of the queues come one after the other: the second from now on is sent when the first, which sees the
  // pause, is known to the runner.
  const before = tap.count(readsQueues)
  await until("the worker knows of the pause", () => tap.count(readsQueues) >= before + 3)
  hold.release()
  expect(await s.untilState(id, "pending", "succeeded")).toMatchObject({ state: "pending", attempts: 0, claims: 1 })
  expect(runs).toBe(0)
})

const readsQueues = saying('"queues" order by name')

test("#9 a claim reports the revision that it read", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  await a.begin()
  await declareQueue(a.db, s.names, parseQueue({ name: "default", concurrency: 3 }), true)
  expect((await s.call(member, { limit: 1 })).summary.revision).toBe(1)
  await a.commit()
  expect((await s.call(member, { limit: 1 })).summary.revision).toBe(2)
})

test("#9 a worker that is told of a change only by its claims takes it over, and running jobs go on", async () => {
  await using s = await openStage(database)
  const app = s.app({ notifications: false })
  const job = defineJob<number, string>({ name: "job" })
  await app.declareQueue({ name: "default", concurrency: 2, claimAhead: 0, pollInterval: "50ms" }, { upsert: true })
  const gate = deferred<string>()
  const signals: AbortSignal[] = []
  await s.worker(app, {
    queuePoll: "1h",
    handlers: [
      job.handler(async (_, { signal }) => {
        signals.push(signal)
        return gate.promise
      }),
    ],
  })
  const first = await app.push(job, 0)
  await until("it runs", () => signals.length === 1)
  // Behind everybody's back: no notice, and no poll of the queues. But there is a free slot, so claims go on.
  await s.sql("update $s.queues set concurrency = 4, revision = revision + 1")
  const others = await app.pushMany(job, [1, 2, 3])
  await until("four run", () => signals.length === 4)
  expect(signals.every((signal) => !signal.aborted)).toBe(true)
  gate.resolve("done")
  const records = await app.wait([first, ...others], { timeout: "10s" })
  expect(records.map(({ state, claims }) => [state, claims])).toEqual(times(4, ["succeeded", 1]))
})

test("#9 a change of concurrency reaches a worker with running jobs at once and disturbs none", async () => {
  await using s = await openStage(database)
  const app = s.app()
  const job = defineJob<number, string>({ name: "job" })
  await app.declareQueue({ name: "default", concurrency: 1, claimAhead: 0 }, { upsert: true })
  const gate = deferred<string>()
  const signals: AbortSignal[] = []
  await s.worker(app, {
    handlers: [
      job.handler(async (_, { signal }) => {
        signals.push(signal)
        return gate.promise
      }),
    ],
  })
  const references = await app.pushMany(job, [0, 1, 2, 3])
  await until("one runs", () => signals.length === 1)
  await s.app().declareQueue({ name: "default", concurrency: 3, claimAhead: 0 }, { upsert: true })
  await until("two more run", () => signals.length === 3)
  expect(signals.every((signal) => !signal.aborted)).toBe(true)
  expect(await s.states(references.map(({ id }) => id))).toEqual(["running", "running", "running", "pending"])
  gate.resolve("done")
  const records = await app.wait(references, { timeout: "10s" })
  expect(records.map(({ claims }) => claims)).toEqual([1, 1, 1, 1])
})

test("#10 a claim during the deletion of its queue still sees it", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const ids = await s.push([{}, {}, {}])
  await a.begin()
  expect(await deleteQueue(a.db, s.names, "default", false)).toEqual({ found: true, deleted: 0 })
  expect((await s.call(member, { limit: 1 })).ids).toEqual([ids[0]])
  await a.commit()
  expect((await s.call(member, { limit: 1 })).ids).toEqual([])
  expect(await s.states(ids)).toEqual(["running", "pending", "pending"])
})

test("#10 a deletion with jobs leaves what runs, which is settled as ever", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const ids = await s.push([{}, {}, {}])
  const [claim] = await s.claim(member, 1)
  expect(await deleteQueue(s.db, s.names, "default", true)).toEqual({ found: true, deleted: 2 })
  expect(await s.rows(ids[1]!)).toEqual([])
  const call = await s.call(member, { limit: 5, settle: [succeeded(claim!, "done")] })
  expect(call).toMatchObject({ ids: [], summary: { revision: null, stale: null } })
  expect(await s.row(ids[0]!)).toMatchObject({ state: "succeeded", result: "done" })
})

test("#10 a claim after the deletion of its queue takes nothing, until the queue is declared again", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const ids = await s.push([{}, {}])
  const { claims } = await s.call(member, { limit: 1 })
  expect(await deleteQueue(s.db, s.names, "default", false)).toEqual({ found: true, deleted: 0 })
  const call = await s.call(member, { limit: 5, settle: [succeeded(claims[0]!)] })
  expect(call).toMatchObject({ ids: [], summary: { alive: true, paused: null, revision: null, stale: null } })
  expect(await s.states(ids)).toEqual(["succeeded", "pending"])
  await declareQueue(s.db, s.names, parseQueue("default"), false)
  expect((await s.call(member, { limit: 5 })).ids).toEqual([ids[1]])
})

test("#10 a deletion with jobs leaves a row that a claim has locked", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const ids = await s.push([{}, {}])
  await a.begin()
  const { claims } = await s.call(member, { limit: 1, on: a.db })
  expect(await deleteQueue(s.db, s.names, "default", true)).toEqual({ found: true, deleted: 1 })
  await a.commit()
  expect(claims).toHaveLength(1)
  expect(await s.row(ids[0]!)).toMatchObject({ state: "running", token: claims[0]!.token })
  expect((await s.call(member, { limit: 5 })).ids, "no row, no claim").toEqual([])
})

test("#10 the runner of a deleted queue drains: its running job ends as it would have", async () => {
  await using s = await openStage(database)
  const app = s.app()
  const job = defineJob<number, string>({ name: "job" })
  await app.declareQueue({ name: "default", concurrency: 1, claimAhead: 0 }, { upsert: true })
  const gate = deferred<string>()
  let running = 0
  const worker = await s.worker(app, {
    handlers: [
      job.handler(async () => {
        running += 1
        return gate.promise
      }),
    ],
  })
  const [first, second] = await app.pushMany(job, [0, 1])
  await until("one runs", () => running === 1)
  expect(await s.app().deleteQueue("default", { jobs: true })).toBe(1)
  await until("the queue has left the worker", () => worker.queues.length === 0)
  expect(worker.running).toBe(1)
  gate.resolve("done")
  expect(await s.untilState(first!.id, "succeeded")).toMatchObject({ result: "done", attempts: 1 })
  expect(await s.rows(second!.id)).toEqual([])
})
