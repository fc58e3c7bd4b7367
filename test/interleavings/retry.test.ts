import { afterAll, beforeAll, expect, test } from "vitest"
import { insert } from "../../src/client/pusher.ts"
import { retryJobs } from "../../src/postgres/bulk.ts"
import { retryJob, updateJob } from "../../src/postgres/jobs.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { failed, openStage, succeeded, type Stage } from "./support/stage.ts"
import { ending } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

async function finished(s: Stage, job: Parameters<Stage["pushOne"]>[0] = {}): Promise<string> {
  const member = await s.member()
  const id = await s.pushOne(job)
  const [claim] = await s.claim(member)
  await s.settle(member, [failed(claim!)])
  return id
}

test("#37 of two retries of one finished job, the second waits, finds it waiting, and reports it ready", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const id = await finished(s)
  await a.begin()
  expect(await retryJob(a.db, s.names, null, id)).toEqual({ outcome: "ready", queue: "default" })
  const second = b.start((db) => retryJob(db, s.names, null, id))
  await second.waiting(a)
  await a.commit()
  expect(await second.result).toEqual({ outcome: "ready", queue: "default" })
  expect(await s.row(id)).toMatchObject({ state: "pending", attempts: 0, claims: 1 })
})

test("#37 the caller of the second retry is not told that there is no such job", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const id = await finished(s)
  await a.begin()
  await retryJob(a.db, s.names, null, id)
  const ended = ending(s.app().job(id).retry())
  await s.somebodyWaits(a)
  await a.commit()
  expect(await ended).toBeUndefined()
})

test("#37 a retry behind one that rolls back takes the job from the history itself", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const id = await finished(s)
  await a.begin()
  await retryJob(a.db, s.names, null, id)
  const second = b.start((db) => retryJob(db, s.names, null, id))
  await second.waiting(a)
  await a.rollback()
  expect(await second.result).toEqual({ outcome: "ready", queue: "default" })
  expect(await s.row(id)).toMatchObject({ state: "pending", claims: 1 })
})

test("#37 a retry behind a settle waits, and takes the job back from the history", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [failed(claim!)], a.db)
  const retry = b.start((db) => retryJob(db, s.names, null, id))
  await retry.waiting(a)
  await a.commit()
  expect(await retry.result).toEqual({ outcome: "ready", queue: "default" })
  expect(await s.row(id)).toMatchObject({ state: "pending", claims: 1, errors: [{ message: "broken" }] })
})

test("#37 a retry behind a claim waits, reports the job running, and leaves it alone", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await finished(s)
  await retryJob(s.db, s.names, null, id)
  await a.begin()
  const [claim] = await s.claim(member, 1, a.db)
  const retry = b.start((db) => retryJob(db, s.names, null, id))
  await retry.waiting(a)
  await a.commit()
  expect(await retry.result).toEqual({ outcome: "running", queue: "default" })
  expect(await ending(s.app().job(id).retry())).toBe("MILLRACE_JOB_RUNNING")
  expect(await s.row(id)).toMatchObject({ state: "running", token: claim!.token, claims: 2 })
})

test("#38 a retry while another job holds its key raises 23505, and nothing moves", async () => {
  await using s = await openStage(database)
  const id = await finished(s, { uniqueKey: "key" })
  const holder = await s.pushOne({ uniqueKey: "key" })
  await expect(retryJob(s.db, s.names, null, id)).rejects.toMatchObject({ code: "23505" })
  await expect(s.app().job(id).retry()).rejects.toMatchObject({ code: "MILLRACE_KEY_TAKEN" })
  expect(await s.states([id, holder])).toEqual(["failed", "pending"])
})

test.each(["commits", "rolls back"])(
  "#38 a retry waits for a push of its key that is under way and %s",
  async (how) => {
    await using s = await openStage(database)
    const [a] = await s.sessions()
    const id = await finished(s, { uniqueKey: "key" })
    const other = s.newJob({ uniqueKey: "key" })
    await a.begin()
    await insert(a.db, s.names, [other], false)
    const ended = ending(s.app().job(id).retry())
    await s.somebodyWaits(a)
    if (how === "commits") await a.commit()
    else await a.rollback()
    expect(await ended).toBe(how === "commits" ? "MILLRACE_KEY_TAKEN" : undefined)
    expect(await s.state(id)).toBe(how === "commits" ? "failed" : "pending")
  },
)

test("#39 an update behind a claim waits, and changes nothing", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne({ payload: "old" })
  await a.begin()
  const { claimed } = await s.call(member, { limit: 1, on: a.db })
  const update = b.start((db) => updateJob(db, s.names, null, id, { payload: '"new"', rank: -5 }))
  await update.waiting(a)
  await a.commit()
  expect(await update.result).toBeUndefined()
  expect(claimed[0]!.payload).toBe('"old"')
  expect(await s.row(id)).toMatchObject({ state: "running", priority: 0 })
})

test("#39 its caller is told that the job runs", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  await s.claim(member, 1, a.db)
  const update = ending(s.app().job(id).update({ priority: 5 }))
  await s.somebodyWaits(a)
  await a.commit()
  expect(await update).toBe("MILLRACE_JOB_RUNNING")
})

test("#39 an update behind a claim that rolls back changes the job", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  await s.claim(member, 1, a.db)
  const update = b.start((db) => updateJob(db, s.names, null, id, { rank: -5 }))
  await update.waiting(a)
  await a.rollback()
  expect(await update.result).toEqual({ state: "pending", queue: "default" })
  expect(await s.row(id)).toMatchObject({ priority: 5 })
})

test("#39 a claim skips a job that is being updated, and later gets what the update wrote", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const [first, second] = (await s.push([{ payload: "old" }, {}])) as [string, string]
  await a.begin()
  await updateJob(a.db, s.names, null, first, { payload: '"new"' })
  expect((await s.call(member, { limit: 5 })).ids).toEqual([second])
  await a.commit()
  const { claimed } = await s.call(member, { limit: 5 })
  expect(claimed).toMatchObject([{ id: first, payload: '"new"' }])
})

test("#39 a claim after an update that postponed the job does not get it", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  await updateJob(a.db, s.names, null, id, { runAt: { inMs: 3_600_000 } })
  expect((await s.call(member, { limit: 5 })).ids).toEqual([])
  await a.commit()
  expect((await s.call(member, { limit: 5 })).ids).toEqual([])
  expect(await s.state(id)).toBe("scheduled")
})

test("#39 an update behind a settle finds no job that waits", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [succeeded(claim!)], a.db)
  // A running job is no update's business: it does not even wait for the lock.
  await expect(s.app().job(id).update({ priority: 5 })).rejects.toMatchObject({ code: "MILLRACE_JOB_RUNNING" })
  await a.commit()
  expect(await s.row(id)).toMatchObject({ state: "succeeded", priority: 0 })
})

test("#50 a bulk delete behind a claim waits, and leaves the job to it", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const [held, free] = [await s.pushOne({ priority: 1 }), await s.pushOne()]
  await a.begin()
  await s.call(member, { limit: 1, on: a.db })
  const deleted = b.start((db) =>
    db.query<{ id: string; outcome: string }>(`select * from ${s.names.of("delete_many_1")}($1::uuid[])`, [
      `{${held},${free}}`,
    ]),
  )
  await deleted.waiting(a)
  await a.commit()
  expect((await deleted.result).rows).toEqual([
    { id: held, outcome: "running" },
    { id: free, outcome: "deleted" },
  ])
  expect(await s.state(held)).toBe("running")
})

test("#51 a bulk retry behind a push that takes the key leaves that job in the history, and runs the others", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const [keyed, plain] = [await finished(s, { uniqueKey: "key" }), await finished(s)]
  await a.begin()
  await insert(a.db, s.names, [s.newJob({ uniqueKey: "key" })], false)
  const retried = b.start((db) => retryJobs(db, s.names, [keyed, plain]))
  await retried.waiting(a)
  await a.commit()
  const outcomes = Object.fromEntries((await retried.result).map(({ id, outcome }) => [id, outcome]))
  expect(outcomes).toEqual({ [keyed]: "taken", [plain]: "ready" })
  expect(await s.states([keyed, plain])).toEqual(["failed", "pending"])
})
