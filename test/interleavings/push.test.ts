import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { insert } from "../../src/client/pusher.ts"
import type { Connection } from "../../src/model/database.ts"
import { insertJobs, insertUniqueJobs } from "../../src/postgres/jobs.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, succeeded, type Stage } from "./support/stage.ts"
import { lost, saying } from "./support/tap.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** Claims everything that is ready and lets it succeed. */
async function finishAll(s: Stage, on?: Connection): Promise<void> {
  const member = await s.member()
  const claims = await s.claim(member, 100, on)
  await s.settle(
    member,
    claims.map((claim) => succeeded(claim, "done")),
    on,
  )
}

const kinds = [
  { kind: "plain", statement: "push_1", options: { wake: false } },
  { kind: "waking", statement: "push_", options: {} }, // first with its notice, then without
  { kind: "unique", statement: "push_unique_1", options: { uniqueKey: "key" } },
]
const job = defineJob<number, string>({ name: "job" })

test.each(kinds)(
  "#22 a $kind push whose reply is lost is sent again, and is there once",
  async ({ statement, options }) => {
    await using s = await openStage(database)
    const { app, tap } = s.tappedApp()
    const happened = tap.lose(saying(statement))
    const reference = await app.push(job, 1, options)
    await happened
    expect(reference.duplicate).toBe(false)
    expect(await s.row(reference.id)).toMatchObject({ state: "pending" })
    expect(await s.sql("select id from $s.jobs")).toHaveLength(1)
    expect(tap.count(saying(statement))).toBe(2)
  },
)

test.each(kinds)(
  "#22 a $kind push that was lost before it was carried out is there once",
  async ({ statement, options }) => {
    await using s = await openStage(database)
    const { app, tap } = s.tappedApp()
    const happened = tap.lose(saying(statement), false)
    const reference = await app.push(job, 1, options)
    await happened
    expect(await s.sql("select id from $s.jobs")).toEqual([{ id: reference.id }])
  },
)

test.each(kinds)(
  "#22 a $kind push that finished before it was sent again does not run again",
  async ({ statement, options }) => {
    await using s = await openStage(database)
    const { app, tap } = s.tappedApp()
    tap.next(saying(statement), async ({ send }) => {
      await send()
      await finishAll(s)
      throw lost()
    })
    const reference = await app.push(job, 1, options)
    expect(reference.duplicate).toBe(false)
    expect(await s.row(reference.id)).toMatchObject({ state: "succeeded", result: "done", claims: 1 })
    expect(await s.sql("select id from $s.jobs")).toEqual([])
  },
)

test("#22 a batch of which some rows finished and some wait is sent again: every job is there once", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const member = await s.member()
  tap.next(saying("push_"), async ({ send }) => {
    await send()
    const [claim] = await s.claim(member, 1)
    await s.settle(member, [succeeded(claim!, "done")])
    await s.claim(member, 1)
    throw lost()
  })
  const references = await app.pushMany(job, [0, 1, 2])
  expect(await s.states(references.map(({ id }) => id))).toEqual(["succeeded", "running", "pending"])
})

test("#23 a resend while the first insert is in flight waits for it, then does nothing", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const jobs = [s.newJob(), s.newJob()]
  await a.begin()
  await insertJobs(a.db, s.names, jobs, false)
  const resend = b.start((db) => insertJobs(db, s.names, jobs, true))
  await resend.waiting(a)
  await a.commit()
  await resend.result
  expect(await s.states(jobs.map(({ id }) => id))).toEqual(["pending", "pending"])
})

test("#23 a resend behind a first insert that rolls back inserts", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const jobs = [s.newJob(), s.newJob()]
  await a.begin()
  await insertJobs(a.db, s.names, jobs, false)
  const resend = b.start((db) => insertJobs(db, s.names, jobs, true))
  await resend.waiting(a)
  await a.rollback()
  await resend.result
  expect(await s.states(jobs.map(({ id }) => id))).toEqual(["pending", "pending"])
})

test("#23 a resend of a unique push while the first insert is in flight waits, and finds itself", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const one = s.newJob({ uniqueKey: "key" })
  await a.begin()
  await insertUniqueJobs(a.db, s.names, [one], false)
  const resend = b.start((db) => insertUniqueJobs(db, s.names, [one], true))
  await resend.waiting(a)
  await a.commit()
  expect(await resend.result).toMatchObject([{ id: one.id, existing: one.id }])
  expect(await s.state(one.id)).toBe("pending")
})

test("#24 a resend after the job has finished is taken back in its own transaction: nobody sees it", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const one = s.newJob()
  await insertJobs(s.db, s.names, [one], false)
  await finishAll(s)
  await a.begin()
  await insertJobs(a.db, s.names, [one], true)
  expect((await a.db.query(`select from ${s.names.of("jobs")}`)).count).toBe(0)
  await a.commit()
  expect(await s.row(one.id)).toMatchObject({ state: "succeeded", claims: 1 })
})

test("#24 a resend while the job's settle is under way waits for it, and is taken back", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const one = s.newJob()
  await insertJobs(s.db, s.names, [one], false)
  await a.begin()
  await finishAll(s, a.db)
  const resend = b.start((db) => insertJobs(db, s.names, [one], true))
  await resend.waiting(a)
  await a.commit()
  await resend.result
  expect(await s.row(one.id)).toMatchObject({ state: "succeeded", claims: 1 })
})

test("#24 a resend while a settle that rolls back is under way leaves the running job alone", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const one = s.newJob()
  await insertJobs(s.db, s.names, [one], false)
  const member = await s.member()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [succeeded(claim!)], a.db)
  const resend = b.start((db) => insertJobs(db, s.names, [one], true))
  await resend.waiting(a)
  await a.rollback()
  await resend.result
  expect(await s.row(one.id)).toMatchObject({ state: "running", token: claim!.token })
})

test("#24 a resend of a unique push that has finished is the same push, whoever holds the key now", async () => {
  await using s = await openStage(database)
  const one = s.newJob({ uniqueKey: "key" })
  await insertUniqueJobs(s.db, s.names, [one], false)
  await finishAll(s)
  expect(await insertUniqueJobs(s.db, s.names, [one], true)).toMatchObject([{ id: one.id, existing: one.id }])
  const other = s.newJob({ uniqueKey: "key" })
  expect(await insertUniqueJobs(s.db, s.names, [other], false)).toMatchObject([{ existing: other.id }])
  expect(await insertUniqueJobs(s.db, s.names, [one], true)).toMatchObject([{ id: one.id, existing: one.id }])
  expect(await s.states([one.id, other.id])).toEqual(["succeeded", "pending"])
})

test("#24 a job that was retried from the history is not taken back by a late resend", async () => {
  await using s = await openStage(database)
  const one = s.newJob()
  await insertJobs(s.db, s.names, [one], false)
  await s.app().job(one.id).cancel()
  await s.app().job(one.id).retry()
  await insertJobs(s.db, s.names, [one], true)
  expect(await s.row(one.id)).toMatchObject({ state: "pending", claims: 0 })
})

test("#25 of two pushes of one key the second waits for the first, and is told who holds the key", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const [one, two] = [s.newJob({ uniqueKey: "key" }), s.newJob({ uniqueKey: "key" })]
  await a.begin()
  await insert(a.db, s.names, [one], false)
  const second = b.start((db) => insert(db, s.names, [two], false))
  await second.waiting(a)
  await a.commit()
  expect(await second.result).toMatchObject([{ id: one.id, duplicate: true }])
  expect(await s.sql("select id from $s.jobs")).toEqual([{ id: one.id }])
})

test("#49 a key that a transaction holds past the push's deadline is reported as busy, and nothing is stored", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const holder = s.newJob({ uniqueKey: "key" })
  await a.begin()
  await insert(a.db, s.names, [holder], false)
  const pushed = s.app({ pushTimeout: "100ms" }).push(job, 1, { uniqueKey: "key" })
  await expect(pushed).rejects.toMatchObject({ code: "MILLRACE_KEY_BUSY" })
  await a.commit()
  expect(await s.sql("select id from $s.jobs")).toEqual([{ id: holder.id }])
})

test("#26 of two pushes of one key the second inserts when the first rolls back", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const [one, two] = [s.newJob({ uniqueKey: "key" }), s.newJob({ uniqueKey: "key" })]
  await a.begin()
  await insert(a.db, s.names, [one], false)
  const second = b.start((db) => insert(db, s.names, [two], false))
  await second.waiting(a)
  await a.rollback()
  expect(await second.result).toMatchObject([{ id: two.id, duplicate: false }])
  expect(await s.sql("select id from $s.jobs")).toEqual([{ id: two.id }])
})

test("#26 a push of a key whose holder is being settled waits, and inserts when the holder has finished", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const holder = await s.pushOne({ uniqueKey: "key" })
  const one = s.newJob({ uniqueKey: "key" })
  await a.begin()
  await finishAll(s, a.db)
  const push = b.start((db) => insert(db, s.names, [one], false))
  await push.waiting(a)
  await a.commit()
  expect(await push.result).toMatchObject([{ id: one.id, duplicate: false }])
  expect(await s.states([holder, one.id])).toEqual(["succeeded", "pending"])
})

/**
 * Lets the holder of the key "a" finish exactly between the insert, which meets it, and the look-up, which does not: the
 * batch's second key is held by a transaction that the insert must wait for meanwhile.
 */
async function finishBetween<T>(s: Stage, push: (db: Connection, jobs: ReturnType<Stage["newJob"]>[]) => Promise<T>) {
  const [gate, b] = await s.sessions()
  const holder = await s.pushOne({ uniqueKey: "a" })
  await gate.begin()
  await insert(gate.db, s.names, [s.newJob({ uniqueKey: "b" })], false)
  const jobs = [s.newJob({ uniqueKey: "a" }), s.newJob({ uniqueKey: "b" })]
  const pushing = b.start((db) => push(db, jobs))
  await pushing.waiting(gate)
  await finishAll(s)
  await gate.rollback()
  return { holder, jobs, result: await pushing.result }
}

test("#27 a push of a key whose holder finishes between conflict and look-up is told of nobody", async () => {
  await using s = await openStage(database)
  const { jobs, result } = await finishBetween(s, (db, both) => insertUniqueJobs(db, s.names, both, false))
  const found = new Map(result.map((row) => [row.id, row.existing]))
  expect(found).toEqual(
    new Map([
      [jobs[0]!.id, null],
      [jobs[1]!.id, jobs[1]!.id],
    ]),
  )
})

test("#27 it is sent again, and inserted", async () => {
  await using s = await openStage(database)
  const { holder, jobs, result } = await finishBetween(s, (db, both) => insert(db, s.names, both, false))
  expect(result).toMatchObject(jobs.map(({ id }) => ({ id, duplicate: false })))
  expect(await s.states([holder, ...jobs.map(({ id }) => id)])).toEqual(["succeeded", "pending", "pending"])
})

test("#28 a batch inserts in the order of its keys, whatever order they were given in", async () => {
  await using s = await openStage(database)
  const [gate, b, probe] = await s.sessions()
  await gate.begin()
  await insert(gate.db, s.names, [s.newJob({ uniqueKey: "a" })], false)
  const jobs = ["c", "b", "a"].map((uniqueKey) => s.newJob({ uniqueKey }))
  const batch = b.start((db) => insert(db, s.names, jobs, false))
  await batch.waiting(gate)
  // It waits for the lowest key, so nobody must have to wait for its others yet.
  await probe.begin()
  const others = ["b", "c"].map((uniqueKey) => s.newJob({ uniqueKey }))
  expect(await insert(probe.db, s.names, others, false)).toMatchObject([{ duplicate: false }, { duplicate: false }])
  await probe.rollback()
  await gate.rollback()
  expect((await batch.result).map(({ duplicate }) => duplicate)).toEqual([false, false, false])
})

test("#28 two batches with the same keys in other orders: the second waits for the first, and no deadlock", async () => {
  await using s = await openStage(database)
  const [gate, b, c] = await s.sessions()
  await gate.begin()
  await insert(gate.db, s.names, [s.newJob({ uniqueKey: "a" })], false)
  const batchOf = (...keys: string[]) => keys.map((uniqueKey) => s.newJob({ uniqueKey }))
  const one = b.start((db) => insert(db, s.names, batchOf("c", "a", "b"), false))
  await one.waiting(gate)
  const two = c.start((db) => insert(db, s.names, batchOf("b", "c", "a"), false))
  await two.waiting(gate)
  await gate.rollback()
  const placed = [...(await one.result), ...(await two.result)]
  expect(placed.filter(({ duplicate }) => duplicate)).toHaveLength(3)
  expect(new Set(placed.map(({ id }) => id)).size).toBe(3)
  expect(await s.sql("select id from $s.jobs")).toHaveLength(3)
})
