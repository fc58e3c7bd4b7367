import { defineJob, Millrace } from "millrace"
import pg from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, until, type Fixture } from "../support/app.ts"

let own: Fixture
let pool: pg.Pool
beforeAll(async () => {
  own = await fixture()
  pool = new pg.Pool({ connectionString: own.url, max: 5, application_name: "the caller's" })
  pool.on("error", () => {})
})
afterAll(async () => {
  await pool.end()
  await own.close()
})

const double = defineJob<number, number>({ name: "double" })

/** Connections of the library's own, in this database. */
async function ownConnections(): Promise<string[]> {
  const { rows } = await own.pool.query(
    "select application_name as name from pg_stat_activity where datname = current_database() and application_name like 'millrace%'",
  )
  return rows.map((row: { name: string }) => row.name)
}

test("an app and its worker run on the caller's pool", async () => {
  const app = await own.app({ pool })
  const worker = await own.worker(app, { handlers: [double.handler((n) => n * 2)] })
  const jobs = await app.pushMany(double, [1, 2, 3])
  expect(await Promise.all(jobs.map((job) => job.result({ timeout: "20s" })))).toEqual([2, 4, 6])
  expect(new Set(await ownConnections())).toEqual(new Set(["millrace listen"]))
  await worker.stop()
  await app.close()
})

test("closing the app leaves the pool open and its connections free, and closes the listening one", async () => {
  const app = await own.app({ pool })
  const job = await app.push(double, 4, { queue: "idle" })
  await app.wait([job], { states: ["pending"], timeout: "20s" })
  await app.close()
  await until(async () => (await ownConnections()).length === 0, "the listening connection is closed")
  expect(pool.ended).toBe(false)
  expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }])
  await until(() => pool.idleCount === pool.totalCount && pool.waitingCount === 0, "all connections are idle")
})

test("a pool that is ended first still lets the app close", async () => {
  const ended = new pg.Pool({ connectionString: own.url, max: 3 })
  const app = new Millrace({ pool: ended, logger: false })
  await app.push(double, 1, { queue: "idle" })
  await ended.end()
  await app.close()
  expect(ended.ended).toBe(true)
})

test("two apps share a pool", async () => {
  const [one, two] = [await own.app({ pool }), await own.app({ pool, schema: "second" })]
  const [a, b] = await Promise.all([one.push(double, 1, { queue: "idle" }), two.push(double, 2, { queue: "idle" })])
  expect([(await a.get())?.payload, (await b.get())?.payload]).toEqual([1, 2])
  await one.close()
  expect((await two.job(b.id).get())?.payload).toBe(2)
})

test("a pool with a single connection is enough to push, read and cancel", async () => {
  const single = new pg.Pool({ connectionString: own.url, max: 1 })
  single.on("error", () => {})
  try {
    const app = await own.app({ pool: single })
    const jobs = await Promise.all([1, 2, 3].map((n) => app.push(double, n, { queue: "idle" })))
    expect(await Promise.all(jobs.map((job) => job.cancel()))).toEqual(["cancelled", "cancelled", "cancelled"])
    await app.close()
  } finally {
    await single.end()
  }
})

test("parsers that the caller has set on the driver do not change what is read", async () => {
  const oids = [20, 114, 3802, 1184]
  const before = oids.map((oid) => pg.types.getTypeParser(oid))
  try {
    for (const oid of oids) pg.types.setTypeParser(oid, (text: string) => `parsed by the caller: ${text}`)
    const app = await own.app({ pool })
    const job = await app.push(double, 5, { queue: "idle", meta: { a: [1] } })
    const record = (await job.get())!
    expect(record).toMatchObject({ payload: 5, meta: { a: [1] }, claims: 0 })
    expect(record.createdAt).toBeInstanceOf(Date)
  } finally {
    oids.forEach((oid, index) => pg.types.setTypeParser(oid, before[index] as (text: string) => unknown))
  }
})

test("connections that the caller's pool loses do not end the process, and the next push works", async () => {
  const app = await own.app({ pool })
  await app.push(double, 1, { queue: "idle" })
  await own.pool.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'the caller''s'",
  )
  const job = await app.push(double, 6, { queue: "idle" })
  expect((await job.get())?.payload).toBe(6)
})
