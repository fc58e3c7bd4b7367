import { defineJob, type Millrace } from "millrace"
import pg from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, until, type Fixture } from "../support/app.ts"
import { ended, fired, range } from "../support/worker-fixture.ts"

let own: Fixture
let pool: pg.Pool
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  pool = new pg.Pool({ connectionString: own.url, max: 4 })
  pool.on("error", () => {})
  app = await own.app({ pool })
})
afterAll(async () => {
  await app.close()
  await pool.end()
  await own.close()
})

test("a worker on the caller's pool runs jobs", async () => {
  const square = defineJob<number, number>({ name: "square" })
  await using _worker = await own.worker(app, { handlers: [square.handler(async (n) => n * n)] })
  const jobs = await app.pushMany(square, range(200))
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ result }) => result)).toEqual(range(200).map((n) => n * n))
})

test("its lease is renewed from the event loop", async () => {
  await using _worker = await own.worker(app, { id: "pooled" })
  const row = async () =>
    (
      await own.pool.query<{ incarnation: string; expires_at: Date }>(
        "select incarnation, expires_at from millrace.workers where id = 'pooled'",
      )
    ).rows[0]!
  const first = await row()
  for (let last = first, renewals = 0; renewals < 3; renewals++) {
    last = await until(async () => {
      const now = await row()
      return now.expires_at > last.expires_at && now
    }, "it is renewed")
    expect(last.incarnation).toBe(first.incarnation)
  }
})

test("a lost lease fires the signals, and the worker registers anew", async () => {
  const reason = gate<string | undefined>()
  const long = defineJob<undefined, number>({ name: "long" })
  await using worker = await own.worker(app, {
    id: "expired",
    handlers: [
      long.handler(async (_, job) => {
        if (job.claims > 1) return job.claims
        const lost = await fired(job.signal)
        reason.open(lost.code)
        throw lost
      }),
    ],
  })
  const job = await app.push(long)
  await until(() => worker.running === 1, "it runs")
  await own.pool.query("update millrace.workers set expires_at = now() - interval '1 second' where id = 'expired'")
  expect(await reason.opened).toBe("MILLRACE_LEASE_LOST")
  expect(await ended(app, job)).toMatchObject({ state: "succeeded", result: 2, attempts: 1 })
})

test("a cancel reaches it by notification", async () => {
  const reason = gate<string | undefined>()
  const endless = defineJob({ name: "endless" })
  await using worker = await own.worker(app, {
    heartbeat: "1h",
    lease: "3h",
    handlers: [endless.handler(async (_, job) => reason.open((await fired(job.signal)).code))],
  })
  const job = await app.push(endless)
  await until(() => worker.running === 1, "it runs")
  const elsewhere = await own.app()
  await elsewhere.job(job.id).cancel()
  expect(await reason.opened).toBe("MILLRACE_CANCELLED")
  expect(await ended(app, job)).toMatchObject({ state: "cancelled" })
})

test("a pool whose connections are busy for a while delays, and loses nothing", async () => {
  const task = defineJob<number>({ name: "task" })
  await using _worker = await own.worker(app, { lease: "10s", handlers: [task.handler(() => {})] })
  const taken = await Promise.all(range(2).map(() => pool.connect()))
  const pushes = Promise.all(range(20).map((n) => app.push(task, n)))
  await pool.query("select 1")
  for (const client of taken) client.release()
  for (const record of await app.wait(await pushes, { timeout: "20s" })) expect(record.state).toBe("succeeded")
})

test("a stopped worker has given every connection back", async () => {
  const mine = new pg.Pool({ connectionString: own.url, max: 3 })
  mine.on("error", () => {})
  try {
    const other = await own.app({ pool: mine })
    const job = defineJob<undefined, string>({ name: "short" })
    const worker = await own.worker(other, { handlers: [job.handler(() => "ran")] })
    expect(await (await other.push(job)).result({ timeout: "20s" })).toBe("ran")
    await worker.stop()
    await other.close()
    await until(() => mine.idleCount === mine.totalCount, "every connection is back")
    expect((await mine.query("select 1 as n")).rows).toEqual([{ n: 1 }])
  } finally {
    await mine.end()
  }
})
