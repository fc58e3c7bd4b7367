import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import type { Connection } from "../../src/model/database.ts"
import { recoverOrphans, renewWorker } from "../../src/postgres/workers.ts"
import { recover } from "./support/recovery.ts"
import { takeBackClaims } from "../../src/postgres/recovery.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, succeeded, type Stage } from "./support/stage.ts"
import { claiming } from "./support/tap.ts"
import { until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const lease = 600_000

test("#12 an incarnation whose lease has expired, or whose row is gone, claims nothing", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const id = await s.pushOne()
  await s.expire(member)
  expect(await s.call(member, { limit: 5 })).toMatchObject({ ids: [], summary: { alive: false, paused: false } })
  await recover(s.db, s.names, 100, 3)
  expect(await s.memberExists(member)).toBe(false)
  expect(await s.call(member, { limit: 5 })).toMatchObject({ ids: [], summary: { alive: null, paused: false } })
  expect(await s.state(id)).toBe("pending")
})

test("#12 a call that waits for a lock while its lease is taken settles what is still its own, and claims nothing", async () => {
  await using s = await openStage(database)
  const [gate, b] = await s.sessions()
  const member = await s.member()
  const [first, second] = (await s.push([{}, {}])) as [string, string]
  const [claim] = await s.claim(member, 1)
  await gate.begin()
  await gate.db.query(`select from ${s.names.of("jobs")} where id = $1 for update`, [first])
  const call = b.start((db) => s.call(member, { settle: [succeeded(claim!)], limit: 5, on: db }))
  await call.waiting(gate)
  await s.expire(member)
  expect(await recover(s.db, s.names, 100, 3), "its only claim is locked").toEqual([])
  await gate.commit()
  expect(await call.result).toMatchObject({ ids: [], summary: { alive: false, stale: null } })
  expect(await s.states([first, second])).toEqual(["succeeded", "pending"])
})

test("#12 a worker whose lease expired aborts what it holds, registers anew, and runs the job again", async () => {
  await using s = await openStage(database)
  const { app } = s.tappedApp()
  const job = defineJob<null, string>({ name: "job" })
  const fired = deferred<unknown>()
  const recovered = deferred<void>()
  let runs = 0
  await s.worker(app, {
    heartbeat: "50ms",
    lease: "10s",
    grace: "20s",
    handlers: [
      job.handler(async (_, { signal }) => {
        if (++runs > 1) return "second"
        signal.addEventListener("abort", () => fired.resolve(signal.reason))
        await recovered.promise
        return "first"
      }),
    ],
  })
  const { id } = await app.push(job, null)
  await until("it runs", () => runs === 1)
  const [before] = await s.sql<{ incarnation: string }>("select incarnation from $s.workers")
  await s.sql("update $s.workers set expires_at = clock_timestamp()")
  expect(await fired.promise).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
  await until("its claim is taken back", async () => (await s.row(id)).crashes === 1)
  recovered.resolve()
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "second", attempts: 1, claims: 2 })
  const after = await s.sql<{ incarnation: string }>("select incarnation from $s.workers")
  expect(after).toHaveLength(1)
  expect(after[0]!.incarnation).not.toBe(before!.incarnation)
})

test("#13 a claim that commits after its worker was declared dead is an orphan, taken back uncharged", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  const [claim] = await s.claim(member, 1, a.db)
  await s.expire(member)
  expect(await recover(s.db, s.names, 100, 3)).toEqual([])
  expect(await s.memberExists(member), "nothing of it was to be seen").toBe(false)
  expect(await recoverOrphans(s.db, s.names, 100), "not committed yet").toEqual([])
  await a.commit()
  expect(await s.row(id)).toMatchObject({ state: "running", token: claim!.token })
  expect(await recover(s.db, s.names, 100, 3)).toBeUndefined()
  expect(await recoverOrphans(s.db, s.names, 100)).toEqual([{ id, queue: "default", state: "pending", worker: null }])
  expect(await s.row(id)).toMatchObject({ state: "pending", crashes: 0, attempts: 0, claims: 1, token: null })
  expect((await s.settle(member, [succeeded(claim!)])).stale).toEqual([id])
})

test("#13 an orphan that was asked to cancel is cancelled", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const id = await s.pushOne()
  await s.claim(member)
  await s.app().job(id).cancel("enough")
  await s.sql("delete from $s.workers")
  expect(await recoverOrphans(s.db, s.names, 100)).toMatchObject([{ id, state: "cancelled" }])
  expect(await s.row(id)).toMatchObject({ state: "cancelled", crashes: 0, cancel: { reason: "enough" } })
})

test("#13 the sweep of any other worker takes orphans back, and wakes their queue", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const app = s.app()
  const job = defineJob<null, string>({ name: "job" })
  const id = await s.pushOne()
  await a.begin()
  await s.claim(member, 1, a.db)
  await s.expire(member)
  await recover(s.db, s.names, 100, 3)
  await a.commit()
  await s.worker(app, { sweep: "50ms", handlers: [job.handler(() => "done")] })
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "done", claims: 2, crashes: 0 })
})

test("#14 a renewal that began while the lease lived, behind a recovery, waits and changes nothing", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const ids = await s.push([{}, {}])
  await s.claim(member)
  // The renewal's now() is before the expiry, so only the recovery's mark can tell it.
  await b.begin()
  await b.db.query("select now()")
  await s.expire(member)
  await a.begin()
  // Takes one of two claims back, so that the worker's row stays.
  expect(await recover(a.db, s.names, 1, 3)).toHaveLength(1)
  const renewal = b.start((db) => renewWorker(db, s.names, member.incarnation, lease))
  await renewal.waiting(a)
  await a.commit()
  expect(await renewal.result).toBe(false)
  await b.commit()
  expect(await s.call(member, { limit: 5 })).toMatchObject({ ids: [], summary: { alive: false } })
  expect(await recover(s.db, s.names, 100, 3)).toHaveLength(1)
  expect(await s.states(ids)).toEqual(["pending", "pending"])
})

test("#14 a renewal behind a recovery that takes everything finds no row", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  await s.pushOne()
  await s.claim(member)
  await b.begin()
  await b.db.query("select now()")
  await s.expire(member)
  await a.begin()
  await recover(a.db, s.names, 100, 3)
  const renewal = b.start((db) => renewWorker(db, s.names, member.incarnation, lease))
  await renewal.waiting(a)
  await a.commit()
  expect(await renewal.result).toBe(false)
})

test("#14 a renewal behind a recovery that rolls back renews", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await s.claim(member)
  await b.begin()
  await b.db.query("select now()")
  await s.expire(member)
  await a.begin()
  await recover(a.db, s.names, 100, 3)
  const renewal = b.start((db) => renewWorker(db, s.names, member.incarnation, lease))
  await renewal.waiting(a)
  await a.rollback()
  expect(await renewal.result).toBe(true)
  await b.commit()
  expect(await recover(s.db, s.names, 100, 3)).toBeUndefined()
  expect(await s.state(id)).toBe("running")
})

test("#14 a recovery skips the row of a worker whose renewal is under way, and then finds it alive", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await s.claim(member)
  await a.begin()
  await a.db.query("select now()")
  await s.expire(member)
  expect(await renewWorker(a.db, s.names, member.incarnation, lease)).toBe(true)
  expect(await recover(s.db, s.names, 100, 3)).toBeUndefined()
  await a.commit()
  expect(await recover(s.db, s.names, 100, 3)).toBeUndefined()
  expect(await s.state(id)).toBe("running")
})

test("#14 a renewal after the lease has expired changes nothing, recovered or not", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  await s.expire(member)
  expect(await renewWorker(s.db, s.names, member.incarnation, lease)).toBe(false)
})

test("#15 the second of two recoveries skips the worker that the first has locked, and takes the next", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const [one, two] = [await s.member(), await s.member()]
  const ids = await s.push([{}, {}])
  await s.claim(one, 1)
  await s.claim(two, 1)
  await s.expire(one)
  await s.expire(two)
  await a.begin()
  const first = await recover(a.db, s.names, 100, 3)
  const second = await recover(s.db, s.names, 100, 3)
  expect(first).toHaveLength(1)
  expect(second).toHaveLength(1)
  expect(second![0]!.worker).not.toBe(first![0]!.worker)
  expect(await recover(s.db, s.names, 100, 3)).toBeUndefined()
  await a.commit()
  for (const id of ids) expect(await s.row(id)).toMatchObject({ state: "pending", crashes: 1 })
})

test("#15 what a recovery that rolled back had taken is taken by the next, charged once", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await s.claim(member)
  await s.expire(member)
  await a.begin()
  await recover(a.db, s.names, 100, 3)
  expect(await recover(s.db, s.names, 100, 3)).toBeUndefined()
  await a.rollback()
  expect(await recover(s.db, s.names, 100, 3)).toMatchObject([{ id }])
  expect(await s.row(id)).toMatchObject({ state: "pending", crashes: 1 })
})

/** Two dead workers with a claim each; the claim of the one that recovery takes first is locked. */
async function lockedDead(s: Stage) {
  const members = [await s.member(), await s.member()].toSorted((x, y) => (x.incarnation < y.incarnation ? -1 : 1))
  const ids = await s.push([{}, {}])
  const gate = await s.session()
  for (const member of members) await s.claim(member, 1)
  for (const member of members) await s.expire(member)
  await gate.begin()
  await gate.db.query(`select from ${s.names.of("jobs")} where id = $1 for update`, [ids[0]])
  return { gate, locked: ids[0]!, free: ids[1]! }
}

test("#15 a claim that is locked for long does not keep those of other dead workers from being taken back", async () => {
  await using s = await openStage(database)
  const { gate, locked, free } = await lockedDead(s)
  await takeBackClaims(s.db, s.names, 3)
  const meanwhile = await s.states([locked, free])
  await gate.rollback()
  expect(meanwhile).toEqual(["running", "pending"])
  await recover(s.db, s.names, 100, 3)
  expect(await s.state(locked)).toBe("pending")
})

test("#15 a sweep ends although a dead worker's claim is locked", async () => {
  await using s = await openStage(database)
  const { gate, locked } = await lockedDead(s)
  let calls = 0
  const counted: Connection = {
    query: (text, values) => {
      if (text.includes("recover_1") && ++calls > 50) throw new Error("it goes round and round")
      return s.db.query(text, values)
    },
  }
  const sweep = takeBackClaims({ ...s.db, ...counted }, s.names, 3)
  await expect(sweep.then(() => "ended")).resolves.toBe("ended")
  expect(await s.state(locked)).toBe("running")
  await gate.rollback()
  await takeBackClaims(s.db, s.names, 3)
  expect(await s.state(locked)).toBe("pending")
})

test("#12 a reply that comes after the lease was lost brings claims that nobody starts", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, number>({ name: "job" })
  let runs = 0
  const { id } = await app.push(job, null)
  const hold = tap.hold("after", claiming)
  await s.worker(app, { heartbeat: "50ms", lease: "10s", sweep: "1h", handlers: [job.handler(() => ++runs)] })
  await hold.reached
  const { token } = await s.row(id)
  const [before] = await s.sql<{ incarnation: string }>("select incarnation from $s.workers")
  await s.sql("update $s.workers set expires_at = clock_timestamp()")
  await until("it has registered anew", async () => {
    const [now] = await s.sql<{ incarnation: string }>("select incarnation from $s.workers")
    return now !== undefined && now.incarnation !== before!.incarnation
  })
  expect(runs).toBe(0)
  hold.release()
  const row = await s.untilState(id, "succeeded")
  expect(row, "run once, under a claim of the new incarnation").toMatchObject({ result: 1, claims: 2, attempts: 1 })
  expect(row.token).not.toBe(token)
})
