import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { cancelJobs, promote, type Settlement } from "../../src/postgres/jobs.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import {
  failed,
  handedBack,
  openStage,
  parked,
  retrying,
  snoozed,
  succeeded,
  type Claim,
  type Stage,
} from "./support/stage.ts"
import { claiming, settling } from "./support/tap.ts"
import { ending } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

type End = (claim: Claim) => Settlement
const final: [string, End][] = [
  ["success", (claim) => succeeded(claim, "done")],
  ["failure", failed],
]
const kept: [string, End][] = [
  ["retry", retrying],
  ["snooze", snoozed],
  ["hand back", handedBack],
  ["park", parked],
]

async function oneClaim(s: Stage) {
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  return { member, id, claim: claim! }
}

test.each(final)("#3 a settle (%s) after a cancel turns into cancelled, and the worker is told", async (_, end) => {
  await using s = await openStage(database)
  const { member, id, claim } = await oneClaim(s)
  expect(await cancelJobs(s.db, s.names, null, [id], "enough")).toMatchObject([{ id, outcome: "requested" }])
  expect(await s.row(id)).toMatchObject({ state: "running", token: claim.token, cancel: { reason: "enough" } })
  expect(await s.settle(member, [end(claim)])).toMatchObject({ cancelled: [id], stale: null })
  expect(await s.row(id)).toMatchObject({ state: "cancelled", result: null, attempts: 1, cancel: { reason: "enough" } })
})

test.each(final)("#3 a settle (%s) behind a cancel waits for it and turns into cancelled", async (_, end) => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const { member, id, claim } = await oneClaim(s)
  await a.begin()
  await cancelJobs(a.db, s.names, null, [id], null)
  const settle = b.start((db) => s.settle(member, [end(claim)], db))
  await settle.waiting(a)
  await a.commit()
  expect(await settle.result).toMatchObject({ cancelled: [id], stale: null })
  expect(await s.row(id)).toMatchObject({ state: "cancelled", result: null, attempts: 1 })
})

test("#3 a settle behind a cancel that rolls back is what it was", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const { member, id, claim } = await oneClaim(s)
  await a.begin()
  await cancelJobs(a.db, s.names, null, [id], null)
  const settle = b.start((db) => s.settle(member, [succeeded(claim, "done")], db))
  await settle.waiting(a)
  await a.rollback()
  expect(await settle.result).toMatchObject({ cancelled: null, stale: null })
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: "done", cancel: null })
})

test("#3 a worker's job that was asked to cancel while its success travelled ends cancelled, for whoever waits too", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, string>({ name: "job" })
  const hold = tap.hold("before", settling)
  await s.worker(app, { handlers: [job.handler(() => "done")] })
  const reference = await app.push(job, null)
  const result = ending(reference.result({ timeout: "10s" }))
  await hold.reached
  expect(await app.job(reference.id).cancel("enough")).toBe("requested")
  hold.release()
  expect(await result).toBe("MILLRACE_CANCELLED")
  expect(await s.row(reference.id)).toMatchObject({ state: "cancelled", result: null })
})

test("#4 a cancel behind a settle waits, finds no row, and reports the job finished", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const { member, id, claim } = await oneClaim(s)
  await a.begin()
  await s.settle(member, [succeeded(claim, "done")], a.db)
  const cancel = b.start((db) => cancelJobs(db, s.names, null, [id], null))
  await cancel.waiting(a)
  await a.commit()
  expect(await cancel.result).toEqual([{ id, queue: "default", outcome: "finished", awaited: false }])
  expect(await s.row(id)).toMatchObject({ state: "succeeded", result: "done", cancel: null })
})

test("#4 a cancel behind a settle that rolls back asks the worker", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const { member, id, claim } = await oneClaim(s)
  await a.begin()
  await s.settle(member, [succeeded(claim)], a.db)
  const cancel = b.start((db) => cancelJobs(db, s.names, null, [id], null))
  await cancel.waiting(a)
  await a.rollback()
  expect(await cancel.result).toMatchObject([{ outcome: "requested" }])
  expect((await s.settle(member, [succeeded(claim)])).cancelled).toEqual([id])
})

test.each(kept)(
  "#4 a cancel behind a kept outcome (%s) waits, and cancels the job where it waits then",
  async (_, end) => {
    await using s = await openStage(database)
    const [a, b] = await s.sessions()
    const { member, id, claim } = await oneClaim(s)
    await a.begin()
    await s.settle(member, [end(claim)], a.db)
    const cancel = b.start((db) => cancelJobs(db, s.names, null, [id], "enough"))
    await cancel.waiting(a)
    await a.commit()
    expect(await cancel.result).toMatchObject([{ id, outcome: "cancelled" }])
    expect(await s.row(id)).toMatchObject({ state: "cancelled", cancel: { reason: "enough" } })
  },
)

const messages = (errors: { message?: string }[] | null) => (errors ?? []).map(({ message }) => message)

test.each(kept)(
  "#5 a kept outcome (%s) after a cancel ends the job as cancelled, with the attempt's error",
  async (_, end) => {
    await using s = await openStage(database)
    const { member, id, claim } = await oneClaim(s)
    await cancelJobs(s.db, s.names, null, [id], null)
    expect(await s.settle(member, [end(claim)])).toMatchObject({ cancelled: [id], stale: null })
    const { charge, error } = end(claim)
    const row = await s.row(id)
    expect(row).toMatchObject({ state: "cancelled", attempts: charge, token: claim.token, finished: true })
    expect(messages(row.errors)).toEqual(error ? ["broken"] : [])
  },
)

test.each(kept)("#5 a kept outcome (%s) behind a cancel waits for it and ends the job as cancelled", async (_, end) => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const { member, id, claim } = await oneClaim(s)
  await a.begin()
  await cancelJobs(a.db, s.names, null, [id], null)
  const settle = b.start((db) => s.settle(member, [end(claim)], db))
  await settle.waiting(a)
  await a.commit()
  const summary = await settle.result
  const { charge, error } = end(claim)
  const row = await s.row(id)
  expect(row).toMatchObject({ state: "cancelled", attempts: charge, finished: true })
  expect(messages(row.errors)).toEqual(error ? ["broken"] : [])
  expect(summary).toMatchObject({ cancelled: [id], stale: null })
})

test("#5 kept outcomes of asked and unasked jobs in one batch: each goes its own way", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const ids = await s.push([{}, {}, {}])
  const claims = await s.claim(member)
  await cancelJobs(s.db, s.names, null, [ids[1]!], null)
  const summary = await s.settle(member, [retrying(claims[0]!), retrying(claims[1]!), succeeded(claims[2]!)])
  expect(summary).toMatchObject({ cancelled: [ids[1]], stale: null })
  expect(await s.states(ids)).toEqual(["retrying", "cancelled", "succeeded"])
})

test("#6 a claim skips a row that a cancel has locked", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const [first, second] = (await s.push([{}, {}])) as [string, string]
  await a.begin()
  expect(await cancelJobs(a.db, s.names, null, [first], null)).toMatchObject([{ outcome: "cancelled" }])
  expect((await s.call(member, { limit: 5 })).ids).toEqual([second])
  await a.commit()
  expect((await s.call(member, { limit: 5 })).ids).toEqual([])
  expect(await s.row(first)).toMatchObject({ state: "cancelled", claims: 0 })
})

test("#6 a claim finds the row again when the cancel that had locked it rolls back", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  await cancelJobs(a.db, s.names, null, [id], null)
  expect((await s.call(member, { limit: 5 })).ids).toEqual([])
  await a.rollback()
  expect((await s.call(member, { limit: 5 })).ids).toEqual([id])
})

test("#6 a cancel behind a claim waits, then asks the worker", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  const [claim] = await s.claim(member, 5, a.db)
  const cancel = b.start((db) => cancelJobs(db, s.names, null, [id], "enough"))
  await cancel.waiting(a)
  await a.commit()
  expect(await cancel.result).toMatchObject([{ id, outcome: "requested" }])
  expect(await s.row(id)).toMatchObject({ state: "running", token: claim!.token, cancel: { reason: "enough" } })
})

test("#6 a cancel behind a claim that rolls back cancels at once", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  await s.claim(member, 5, a.db)
  const cancel = b.start((db) => cancelJobs(db, s.names, null, [id], null))
  await cancel.waiting(a)
  await a.rollback()
  expect(await cancel.result).toMatchObject([{ id, outcome: "cancelled" }])
  expect(await s.row(id)).toMatchObject({ state: "cancelled", claims: 0 })
})

test.each([true, false])(
  "#6 a running handler's signal fires when its job is cancelled (notifications: %s)",
  async (notifications) => {
    await using s = await openStage(database)
    const app = s.app({ notifications })
    const job = defineJob<null, string>({ name: "job" })
    const started = deferred<AbortSignal>()
    const gate = deferred<string>()
    await s.worker(app, {
      grace: "20s",
      heartbeat: "50ms",
      lease: "10s",
      handlers: [
        job.handler(async (_, { signal }) => {
          started.resolve(signal)
          return gate.promise
        }),
      ],
    })
    const { id } = await app.push(job, null)
    const signal = await started.promise
    const fired = deferred<void>()
    signal.addEventListener("abort", () => fired.resolve())
    expect(await s.app({ notifications }).job(id).cancel("enough")).toBe("requested")
    await fired.promise
    expect(signal.reason).toMatchObject({ code: "MILLRACE_CANCELLED" })
    gate.resolve("done all the same")
    expect(await s.untilState(id, "cancelled", "succeeded")).toMatchObject({ state: "cancelled", result: null })
  },
)

test("#6 a job that was asked to cancel between its claim and its start never starts", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, string>({ name: "job" })
  let runs = 0
  const { id } = await app.push(job, null)
  // The reply to the worker's first claim is held back: the job is claimed, and the worker does not know it yet.
  const hold = tap.hold("after", claiming)
  await s.worker(app, { handlers: [job.handler(() => `run ${++runs}`)], heartbeat: "50ms", lease: "10s" })
  await hold.reached
  expect(await s.state(id)).toBe("running")
  expect(await app.job(id).cancel()).toBe("requested")
  hold.release()
  const row = await s.untilState(id, "cancelled", "succeeded")
  expect(row.state).toBe("cancelled")
  expect(row.result).toBeNull()
  expect(runs).toBe(0)
})

/** A job that is due, but not promoted yet. */
async function dueJob(s: Stage): Promise<string> {
  const id = await s.pushOne({ delay: "1h" })
  await s.sql("update $s.jobs set run_at = now() - interval '1 second' where id = $1", [id])
  return id
}

test("#7 a promotion skips a row that a cancel has locked", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const [first, second] = [await dueJob(s), await dueJob(s)]
  await a.begin()
  expect(await cancelJobs(a.db, s.names, null, [first], null)).toMatchObject([{ outcome: "cancelled" }])
  expect(await promote(s.db, s.names, "default", 100)).toMatchObject({ promoted: 1 })
  await a.commit()
  expect(await promote(s.db, s.names, "default", 100)).toMatchObject({ promoted: 0, nextMs: null })
  expect(await s.states([first, second])).toEqual(["cancelled", "pending"])
})

test("#7 a cancel behind a promotion waits, then cancels the ready job", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const id = await dueJob(s)
  await a.begin()
  expect(await promote(a.db, s.names, "default", 100)).toMatchObject({ promoted: 1 })
  const cancel = b.start((db) => cancelJobs(db, s.names, null, [id], null))
  await cancel.waiting(a)
  await a.commit()
  expect(await cancel.result).toMatchObject([{ id, outcome: "cancelled" }])
  expect(await s.row(id)).toMatchObject({ state: "cancelled", finished: true })
  const member = await s.member()
  expect((await s.call(member, { limit: 5 })).ids, "never both alive and in the history").toEqual([])
})
