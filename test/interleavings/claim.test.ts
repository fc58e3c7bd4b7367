import { afterAll, beforeAll, expect, test } from "vitest"
import { promote } from "../../src/postgres/jobs.ts"
import { ScanFloors } from "../../src/worker/scan-floors.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage } from "./support/stage.ts"
import { times } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("#11 two claims at once are disjoint, and neither waits", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const [one, two] = [await s.member(), await s.member()]
  const ids = await s.push(times(5, {}))
  await a.begin()
  await b.begin()
  expect((await s.call(one, { limit: 3, on: a.db })).ids).toEqual(ids.slice(0, 3))
  expect((await s.call(two, { limit: 5, on: b.db })).ids).toEqual(ids.slice(3))
  await b.commit()
  await a.commit()
  const rows = await s.sql<{ worker: string; n: number }>(
    "select worker, count(*)::integer as n from $s.jobs where state = 'running' group by 1 order by 2",
  )
  expect(rows).toEqual([
    { worker: two.incarnation, n: 2 },
    { worker: one.incarnation, n: 3 },
  ])
})

test("#11 rows that were skipped because of a claim that rolls back are found by the next full scan", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const [one, two] = [await s.member(), await s.member()]
  const ids = await s.push(times(5, {}))
  await s.sql("update $s.jobs set ready_at = ready_at - interval '1 minute'") // floors end a tenth of a second ago
  const floors = new ScanFloors()
  await a.begin()
  await s.claim(one, 3, a.db)
  const first = await s.call(two, { limit: 5, floors: floors.next(0) })
  floors.learn(first.claimed, floors.next(0), 1_000, 0)
  expect(first.ids).toEqual(ids.slice(3))
  await a.rollback()
  const used = floors.next(1)
  expect(used.ranks).toEqual([0])
  expect((await s.call(two, { limit: 5, floors: used })).ids, "not from the floor").toEqual([])
  expect(floors.next(10_001).ranks, "at the latest after 10 s").toEqual([])
  expect((await s.call(two, { limit: 5, floors: floors.next(10_001) })).ids).toEqual(ids.slice(0, 3))
})

test("#11 a claim whose transaction rolls back leaves no trace", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne()
  await a.begin()
  await s.claim(member, 1, a.db)
  await a.rollback()
  expect(await s.row(id)).toMatchObject({ state: "pending", token: null, claims: 0 })
})

test("#40 two promotions at once are disjoint, and neither waits", async () => {
  await using s = await openStage(database)
  const [a, b] = await s.sessions()
  const ids = await s.push(times(5, { delay: "1h" }))
  await s.sql("update $s.jobs set run_at = now() - interval '1 second'")
  await a.begin()
  await b.begin()
  expect(await promote(a.db, s.names, "default", 3)).toMatchObject({ promoted: 3 })
  expect(await promote(b.db, s.names, "default", 3)).toMatchObject({ promoted: 2 })
  await b.commit()
  await a.rollback()
  expect((await s.states(ids)).toSorted()).toEqual(["pending", "pending", "scheduled", "scheduled", "scheduled"])
  expect(await promote(s.db, s.names, "default", 10)).toMatchObject({ promoted: 3, nextMs: null })
})

test("#40 a promotion tells when the next job is due, also one that another promotion has locked", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const [due, later] = (await s.push([{ delay: "1h" }, { delay: "2h" }])) as [string, string]
  await s.sql("update $s.jobs set run_at = now() - interval '1 second' where id = $1", [due])
  await a.begin()
  await promote(a.db, s.names, "default", 1)
  const { promoted, nextMs } = await promote(s.db, s.names, "default", 1)
  expect(promoted).toBe(0)
  expect(nextMs, "it looks again at once").toBeLessThanOrEqual(0)
  await a.commit()
  const after = await promote(s.db, s.names, "default", 1)
  expect(after.nextMs).toBeGreaterThan(7_000_000)
  expect(await s.states([due, later])).toEqual(["pending", "scheduled"])
})
