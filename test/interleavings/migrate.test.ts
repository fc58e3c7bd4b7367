import { afterAll, beforeAll, expect, test } from "vitest"
import { Millrace } from "millrace"
import pg from "pg"
import { randomBytes } from "node:crypto"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { saying, Tap } from "./support/tap.ts"
import { ending, until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** Two apps on one schema that does not exist yet. */
function twoApps() {
  const schema = `m_${randomBytes(6).toString("hex")}`
  const one = () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 4 })
    const tap = new Tap(pool)
    return { tap, pool, app: new Millrace({ pool: tap.pool, schema, logger: false }) }
  }
  const [a, b] = [one(), one()]
  const close = async () => {
    for (const { app, pool } of [a, b]) {
      await app.close()
      await pool.end()
    }
  }
  return { a, b, schema, [Symbol.asyncDispose]: close }
}

const polling = saying("pg_try_advisory_xact_lock")
const applied = saying("insert into", '"migrations"')

test("#48 of two migrations at once the second polls the lock, and finds the version done", async () => {
  await using both = twoApps()
  const { a, b, schema } = both
  const hold = a.tap.hold("after", applied)
  const first = a.app.migrate()
  await hold.reached
  const second = b.app.migrate()
  await until("the second polls", () => b.tap.count(polling) >= 3)
  expect(b.tap.count(applied)).toBe(0)
  hold.release()
  const { from, to: newest } = await first
  expect(from).toBe(0)
  // Between two steps the lock is free: the second may do some of them.
  expect((await second).from).toBeGreaterThan(0)
  expect((await second).to).toBe(newest)
  const { rows } = await database.pool.query(`select component, version from ${schema}.migrations
    where component = 'core' order by version`)
  expect(rows).toEqual(Array.from({ length: newest }, (_, step) => ({ component: "core", version: step + 1 })))
})

test("#48 a migration whose connection dies in the middle leaves nothing, and the waiting one does it all", async () => {
  await using both = twoApps()
  const { a, b } = both
  const hold = a.tap.hold("after", applied)
  const first = a.app.migrate()
  const gone = ending(first)
  await hold.reached
  const second = b.app.migrate()
  await until("the second polls", () => b.tap.count(polling) >= 2)
  const { rows } = await database.pool.query(
    `select pg_terminate_backend(pid) as ended from pg_stat_activity
     where datname = current_database() and query like 'insert into%migrations%' and pid <> pg_backend_pid()`,
  )
  expect(rows).toHaveLength(1)
  hold.release()
  expect(await gone).not.toMatchObject({ from: 0 })
  expect(await second).toMatchObject({ from: 0 })
})

test("#48 migrations of two schemas do not wait for each other", async () => {
  await using one = twoApps()
  await using two = twoApps()
  const hold = one.a.tap.hold("after", applied)
  const first = one.a.app.migrate()
  await hold.reached
  expect(await two.a.app.migrate()).toMatchObject({ from: 0 })
  hold.release()
  expect(await first).toMatchObject({ from: 0 })
})
