import { afterAll, beforeAll, expect, test } from "vitest"
import pg from "pg"
import { defineJob } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { fromPool } from "../../src/postgres/adapters/pg.ts"
import { dropExpiredPartitions, ensurePartitions } from "../../src/postgres/history.ts"
import { verdict } from "../../src/postgres/sqlstate.ts"
import { takeBackClaims } from "../../src/postgres/recovery.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, retrying, succeeded, type Stage } from "./support/stage.ts"
import { settling, Tap } from "./support/tap.ts"
import { ending, until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** Names of the daily partitions. */
async function partitions(s: Stage): Promise<string[]> {
  const rows = await s.sql<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = '$s.jobs_history'::regclass and c.relname <> 'jobs_history_forever' order by 1`,
  )
  return rows.map(({ name }) => name)
}

async function dropPartitions(s: Stage): Promise<void> {
  for (const name of await partitions(s)) await s.sql(`drop table ${s.names.of(name)}`)
}

test("#33 a settle that finds no partition rolls the whole call back, kept outcomes and claims included", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const ids = await s.push([{}, {}, {}])
  const [one, two] = await s.claim(member, 2)
  await dropPartitions(s)
  const call = s.call(member, { settle: [succeeded(one!), retrying(two!)], limit: 5 })
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ code: "23514" })
  expect(verdict(error)).toBe("partition")
  expect(await s.states(ids)).toEqual(["running", "running", "pending"])
  await ensurePartitions(s.db, s.names, [86_400])
  const again = await s.call(member, { settle: [succeeded(one!), retrying(two!)], limit: 5 })
  expect(again).toMatchObject({ ids: [ids[2]], summary: { stale: null } })
  expect(await s.row(ids[2]!), "claimed once").toMatchObject({ state: "running", claims: 1 })
})

test("#33 a worker that finds no partition makes it and settles again; nothing is claimed twice", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<number, number>({ name: "job" })
  const gate = deferred<void>()
  let runs = 0
  await s.worker(app, {
    handlers: [
      job.handler(async (n) => {
        runs += 1
        await gate.promise
        return n
      }),
    ],
  })
  const references = await app.pushMany(job, [0, 1, 2, 3, 4])
  await until("all run", () => runs === 5)
  await dropPartitions(s)
  gate.resolve()
  const records = await app.wait(references, { timeout: "10s" })
  expect(records.map(({ state, result, claims, attempts }) => [state, result, claims, attempts])).toEqual(
    [0, 1, 2, 3, 4].map((n) => ["succeeded", n, 1, 1]),
  )
  for (const { id } of references) expect(await s.rows(id)).toHaveLength(1)
  expect(runs).toBe(5)
  expect(await partitions(s)).not.toEqual([])
  expect(tap.count(settling), "sent, refused, sent again").toBeLessThan(8)
})

const job = defineJob<null, string>({ name: "job" })

/** A retention that nobody has declared beforehand, so that there is no partition for it. */
const unusual = { retention: "20d" } as const

test("#33 a retention that nobody knew of before gets its partition with the first settle", async () => {
  await using s = await openStage(database)
  const app = s.app()
  await s.worker(app, { handlers: [job.handler(() => "done")] })
  const reference = await app.push(job, null, unusual)
  expect(await reference.result({ timeout: "10s" })).toBe("done")
  expect(await s.row(reference.id)).toMatchObject({ state: "succeeded", claims: 1, attempts: 1 })
})

test("#33 so does a settle that carries pushed jobs with it", async () => {
  await using s = await openStage(database)
  const app = s.app()
  const next = defineJob<null, string>({ name: "next" })
  await s.worker(app, {
    handlers: [
      job.handler(async (_, running) => {
        await running.push(next, null)
        return "done"
      }),
      next.handler(() => "next"),
    ],
  })
  const reference = await app.push(job, null, unusual)
  expect(await reference.result({ timeout: "10s" })).toBe("done")
  expect(await s.row(reference.id)).toMatchObject({ state: "succeeded", claims: 1, attempts: 1 })
})

test("#33 so does a settle inside of job.transaction", async () => {
  await using s = await openStage(database)
  const app = s.app()
  await s.sql("create table $s.side (n integer)")
  await s.worker(app, {
    handlers: [
      job.handler((_, running) =>
        running.transaction(async (tx) => {
          await tx.query(`insert into ${s.names.of("side")} values (1)`)
          return "done"
        }),
      ),
    ],
  })
  const { id } = await app.push(job, null, { ...unusual, maxAttempts: 3, backoff: { initial: 1, max: 1 } })
  expect(await s.untilState(id, "succeeded", "failed")).toMatchObject({ state: "succeeded", result: "done" })
  expect(await s.sql("select n from $s.side")).toEqual([{ n: 1 }])
})

test("#33 so does one whose transaction has read the history, with an expired partition that nobody can drop meanwhile", async () => {
  await using s = await openStage(database)
  const app = s.app({ queryTimeout: "3s" })
  await s.worker(app, {
    handlers: [
      job.handler((_, running) =>
        running.transaction(async (tx) => {
          await tx.query(`select count(*) from ${s.names.of("all_jobs")}`)
          return "done"
        }),
      ),
    ],
  })
  await expiredPartition(s)
  const { id } = await app.push(job, null, unusual)
  expect(await s.untilState(id, "succeeded", "failed", "retrying")).toMatchObject({ state: "succeeded", attempts: 1 })
})

test("#33 so does a cancel", async () => {
  await using s = await openStage(database)
  const reference = await s.app().push(job, null, unusual)
  expect(await reference.cancel()).toBe("cancelled")
  expect(await s.state(reference.id)).toBe("cancelled")
})

test.each(["worker", "orphans"])("#33 so does a recovery (%s) that fails or cancels jobs", async (whose) => {
  await using s = await openStage(database)
  const app = s.app()
  const member = await s.member()
  const ids = await s.push([unusual, unusual])
  await s.claim(member)
  await app.job(ids[1]!).cancel()
  if (whose === "worker") await s.expire(member)
  else await s.sql("delete from $s.workers")
  expect(await takeBackClaims(s.db, s.names, 1)).toHaveLength(2)
  expect(await s.states(ids)).toEqual([whose === "worker" ? "failed" : "pending", "cancelled"])
})

/** A way to the database whose next COMMIT can be held up. */
function heldCommit(s: Stage) {
  const pool = new pg.Pool({ connectionString: s.database.url, max: 3 })
  s.onClose(() => pool.end())
  const tap = new Tap(pool)
  return { db: fromPool(tap.pool), commit: tap.hold("before", ({ text }) => text === "commit"), tap }
}

test("#34 of two processes that make the same partition, the second waits and is content", async () => {
  await using s = await openStage(database)
  await dropPartitions(s)
  const { db, commit } = heldCommit(s)
  const first = ensurePartitions(db, s.names, [86_400])
  await commit.reached
  const second = ensurePartitions(s.db, s.names, [86_400])
  await s.somebodyWaits()
  commit.release()
  await Promise.all([first, second])
  const made = await partitions(s)
  expect(made.length).toBeGreaterThanOrEqual(2)
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await s.settle(member, [succeeded(claim!)])
  expect(await s.state(id)).toBe("succeeded")
})

test("#34 when the first rolls back, the second makes it", async () => {
  await using s = await openStage(database)
  await dropPartitions(s)
  const { db, tap } = heldCommit(s)
  const gate = deferred<void>()
  const reached = deferred<void>()
  tap.next(
    ({ text }) => text.includes("attach partition"),
    async () => {
      reached.resolve()
      await gate.promise
      throw Object.assign(new Error("enough"), { code: "XX000" })
    },
  )
  const first = ensurePartitions(db, s.names, [86_400])
  const refused = ending(first)
  await reached.promise
  const second = ensurePartitions(s.db, s.names, [86_400])
  await s.somebodyWaits()
  gate.resolve()
  expect(await refused).toBe("XX000")
  await second
  expect((await partitions(s)).length).toBeGreaterThanOrEqual(2)
})

test("#34 a settlement does not wait for a partition that is being made", async () => {
  await using s = await openStage(database)
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  const { db, commit } = heldCommit(s)
  const making = ensurePartitions(db, s.names, [10 * 86_400])
  await commit.reached
  expect((await s.settle(member, [succeeded(claim!)])).stale).toBeNull()
  commit.release()
  await making
  expect(await s.state(id)).toBe("succeeded")
})

/** A partition whose every row may go. */
async function expiredPartition(s: Stage): Promise<string> {
  const name = "jobs_history_p20200101"
  await s.sql(
    `create table ${s.names.of(name)} partition of $s.jobs_history
     for values from ('2020-01-01 00:00:00+00') to ('2020-01-02 00:00:00+00')`,
  )
  return name
}

test("#35 while one partition waits to be dropped, settlements go into others and new ones are made", async () => {
  await using s = await openStage(database)
  const [reader, b] = await s.sessions()
  const name = await expiredPartition(s)
  const member = await s.member()
  const ids = await s.push([{}, {}])
  const claims = await s.claim(member)
  await reader.begin()
  await reader.db.query(`select count(*) from ${s.names.of("all_jobs")}`)
  const dropping = b.start((db) => dropExpiredPartitions(db, s.names))
  await dropping.waiting(reader)
  expect((await s.settle(member, [succeeded(claims[0]!)])).stale).toBeNull()
  await ensurePartitions(s.db, s.names, [12 * 86_400])
  expect((await s.settle(member, [succeeded(claims[1]!)])).stale).toBeNull()
  await reader.commit()
  expect(await dropping.result).toEqual([name])
  expect(await s.states(ids)).toEqual(["succeeded", "succeeded"])
  expect(await partitions(s)).not.toContain(name)
})

test("#35 two processes that drop the same partition: it goes once, and neither fails", async () => {
  await using s = await openStage(database)
  const [reader, b, c] = await s.sessions()
  const name = await expiredPartition(s)
  await reader.begin()
  await reader.db.query(`select count(*) from ${s.names.of("all_jobs")}`)
  const one = b.start((db) => dropExpiredPartitions(db, s.names))
  await one.waiting(reader)
  const two = c.start((db) => dropExpiredPartitions(db, s.names))
  await Promise.race([two.waiting(), two.result])
  await reader.commit()
  const dropped = [...(await one.result), ...(await two.result)]
  expect(dropped.filter((each) => each !== name)).toEqual([])
  await dropExpiredPartitions(s.db, s.names)
  expect(await s.sql("select from pg_class where relname = $1", [name])).toEqual([])
})
