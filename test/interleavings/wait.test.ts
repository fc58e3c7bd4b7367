import { afterAll, beforeAll, expect, test } from "vitest"
import type { Connection } from "../../src/model/database.ts"
import { findJobs, markAwaited, retryJob } from "../../src/postgres/jobs.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, retrying, succeeded } from "./support/stage.ts"
import { saying } from "./support/tap.ts"
import { times } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("#45 a waiter's flag behind a settle waits, finds no row, and the reading after it sees the history", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [succeeded(claim!, "done")], a.db)
  const flag = b.start((db) => markAwaited(db, s.names, [id]))
  await flag.waiting(a)
  await a.commit()
  await flag.result
  expect(await findJobs(b.db, s.names, [id])).toMatchObject([{ id, state: "succeeded", result: '"done"' }])
})

test("#45 result() that meets the settle of its job flags first and reads afterwards, without any notification", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  const { app, tap } = s.tappedApp({ notifications: false })
  const flagged = tap.hold("after", saying("awaited = true"))
  await a.begin()
  await s.settle(member, [succeeded(claim!, "done")], a.db)
  const result = app.job(id).result({ timeout: "10s" })
  await s.somebodyWaits(a)
  await a.commit()
  await flagged.reached
  expect(tap.count(saying("find_1"))).toBe(0)
  flagged.release()
  expect(await result).toBe("done")
})

test("#45 a settle behind a waiter's flag sees it, and tells who waits", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await markAwaited(a.db, s.names, [id])
  const settle = b.start((db) => s.settle(member, [succeeded(claim!)], db))
  await settle.waiting(a)
  await a.commit()
  expect((await settle.result).awaited).toEqual([id])
})

test("#45 a flag behind a kept outcome stays on the row for the next attempt", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [retrying(claim!)], a.db)
  const flag = b.start((db) => markAwaited(db, s.names, [id]))
  await flag.waiting(a)
  await a.commit()
  await flag.result
  await retryJob(s.db, s.names, null, id)
  const [next] = await s.claim(member)
  expect((await s.settle(member, [succeeded(next!)])).awaited).toEqual([id])
})

test("#46 jobs that move to the history, and back, while they are read are seen exactly once", async () => {
  await using s = await openStage(database)
  const [reader] = await s.sessions()
  const member = await s.member()
  const ids = await s.push(times(6, {}))
  const claims = await s.claim(member)
  await s.settle(
    member,
    claims.slice(0, 3).map((claim) => succeeded(claim)),
  )
  // The same statement, read slowly: the first row now, everything else after all jobs have changed places.
  await reader.begin()
  const cursor: Connection = {
    query: (text, values) => reader.db.query(`declare slowly cursor for ${text}`, values),
  }
  await findJobs(cursor, s.names, ids)
  const first = await reader.db.query<{ id: string }>("fetch 1 from slowly")
  await s.settle(
    member,
    claims.slice(3).map((claim) => succeeded(claim)),
  )
  for (const id of ids.slice(0, 3)) expect(await retryJob(s.db, s.names, null, id)).toMatchObject({ outcome: "ready" })
  const rest = await reader.db.query<{ id: string }>("fetch all from slowly")
  await reader.commit()
  expect([...first.rows, ...rest.rows].map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
  expect((await findJobs(s.db, s.names, ids)).map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
})

test("#46 a reading during a settle sees the job where it was", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [succeeded(claim!)], a.db)
  expect(await findJobs(s.db, s.names, [id])).toMatchObject([{ state: "running" }])
  expect(await findJobs(a.db, s.names, [id])).toMatchObject([{ state: "succeeded" }])
  await a.commit()
  expect(await findJobs(s.db, s.names, [id])).toMatchObject([{ state: "succeeded" }])
})
