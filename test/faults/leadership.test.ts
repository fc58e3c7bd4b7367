import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { Scene } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test(
  "whatever becomes of the leader, terms are disjoint and no tick is lost or made twice",
  { timeout: 120_000 },
  async () => {
    const scene = await Scene.open(database.url, [])
    const table = `${scene.schema}.ticks`
    await scene.pool.query(`create table ${table} (n bigint primary key, term text, worker text, at timestamptz)`)
    const start = async (id: string) => {
      const proxy = await scene.newProxy()
      const app = { dsn: proxy.through(database.url), schema: scene.schema }
      return { id, proxy, process: scene.process("ticker", id, { app, id, lease: "1500ms" }) }
    }
    const workers = await Promise.all(["a", "b", "c"].map(start))
    const newest = async () => {
      const { rows } = await scene.pool.query<{ n: string; term: string; worker: string }>(
        `select n, term, worker from ${table} order by n desc limit 1`,
      )
      return rows[0]
    }
    const leader = async () => {
      const before = await until("somebody leads", newest)
      return workers.find(({ id }) => id === before.worker)!
    }
    const successor = (old: { id: string }) =>
      until("another one leads", async () => ((await newest())?.worker !== old.id ? newest() : undefined))

    const frozen = await leader()
    frozen.process.freeze()
    await successor(frozen)
    frozen.process.thaw()

    const cut = await leader()
    cut.proxy.refuse()
    cut.proxy.cut()
    await successor(cut)
    cut.proxy.heal()

    const killed = await leader()
    killed.process.kill()
    await successor(killed)

    const { rows } = await scene.pool.query<{ term: string; first: number; last: number; count: number }>(
      `select term, min(n)::int as first, max(n)::int as last, count(*)::int as count from ${table} group by term order by 2`,
    )
    expect(rows.length).toBeGreaterThanOrEqual(4)
    let next = 1
    for (const { first, last, count } of rows) {
      expect({ first, count }).toEqual({ first: next, count: last - first + 1 })
      next = last + 1
    }
  },
)
