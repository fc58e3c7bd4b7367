import { metrics, leadership, type DatabaseHealth, type MetricsPlugin, type Snapshot } from "millrace/worker"
import { defineJob } from "millrace"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const first = () => leadership({ lease: "900ms", every: "100ms" })
const quick = { every: "50ms", queuesEvery: "50ms", databaseEvery: "50ms" } as const
const work = defineJob<number>({ name: "work", maxAttempts: 1 })

const insert = `insert into $schema.jobs (id, name, queue, state, ready_at, run_at, rank, crashes)
  select gen_random_uuid(), 'work', $1, $2::$schema.job_state, now() - $3::float8 * interval '1 second', now() + interval '1 hour',
    n % 7, $4 from generate_series(1, $5::integer) n`

/** The same with limit keys, which stand in an index of their own. */
const keyed = insert
  .replace("crashes)", "crashes, options)")
  .replace("$4 from", "$4, jsonb_build_object('key', (n % 7)::text) from")

test("jobs are counted exactly up to 10,000 per queue and state, and the oldest is found among all priorities", async () => {
  const { sql, app } = await startApp({ worker: false, app: { plugins: [metrics()] } })
  for (const [queue, state, age, crashes, count] of [
    ["a", "pending", 5, 0, 9_998],
    ["a", "pending", 100, 2, 2],
    ["a", "scheduled", 0, 0, 10_000],
    ["a", "retrying", 0, 0, 10_000],
    ["a", "blocked", 0, 0, 10_000],
    ["b", "pending", 7, 0, 10_001],
    ["b", "retrying", 0, 0, 3],
  ] as const)
    await sql(insert, [queue, state, age, crashes, count])
  await sql(`update $schema.jobs set options = '{"key": "k"}' where queue = 'a' and state = 'pending' and rank = 3`)
  await sql(`update $schema.jobs set ready_at = now() - interval '1000 seconds' where id = (
    select id from $schema.jobs where queue = 'b' and rank = 6 limit 1)`)
  await app.declareQueue({ name: "b", tags: [] })
  const snapshot = await app.plugin<MetricsPlugin>("metrics").snapshot()
  const [a, b] = ["a", "b"].map((name) => snapshot.queues.find(({ queue }) => queue === name)!) as [QueueNow, QueueNow]
  const exactly = (count: number) => ({ count, exact: true })
  expect(a.depth).toEqual({
    pending: exactly(10_000),
    scheduled: exactly(10_000),
    retrying: exactly(10_000),
    blocked: exactly(10_000),
    running: exactly(0),
  })
  expect([a.declared, b.declared]).toEqual([false, true])
  expect(b.depth.pending).toMatchObject({ exact: false })
  expect(b.depth.pending.count).toBeGreaterThan(10_000)
  expect(b.depth.retrying).toEqual(exactly(3))
  expect(a.oldest).toBeGreaterThanOrEqual(100)
  expect(a.oldest).toBeLessThan(1_000)
  expect(b.oldest).toBeGreaterThanOrEqual(1_000)
})

type QueueNow = Snapshot["queues"][number]

test("counting reads no more of a full table than of one with as many as it counts, without statistics too", async () => {
  const { sql } = await startApp({ worker: false })
  await sql(`alter table $schema.jobs set (autovacuum_enabled = off)`)
  const pages = async () => {
    const [row] = await sql<{ "QUERY PLAN": [{ Plan: Record<string, number> }] }>(
      `explain (analyze, buffers, format json) select * from $schema.metrics_depth_1('{a,b}', 100)`,
    )
    const { Plan } = row!["QUERY PLAN"][0]
    return Plan["Shared Hit Blocks"]! + Plan["Shared Read Blocks"]!
  }
  const fill = async (count: number) => {
    for (const state of ["pending", "scheduled", "retrying", "blocked"]) {
      await sql(insert, ["a", state, 5, 0, count])
      await sql(keyed, ["a", state, 5, 0, count])
    }
  }
  await fill(500)
  await pages() // plans are made
  const few = await pages()
  await fill(20_000)
  const many = await pages()
  expect(many).toBeLessThan(few * 1.5 + 100)
  await sql(`analyze $schema.jobs`)
  expect(await pages()).toBeLessThan(few * 1.5 + 100)
})

test("the leader writes depth and age down, and estimates are marked as such", async () => {
  const { sql, worker, app } = await startApp({
    queues: [{ name: "idle", tags: [] }],
    plugins: [first(), metrics(quick)],
    app: {},
  })
  await app.pushMany(work, [1, 2, 3], { queue: "idle" })
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  const newest = async (prefix: string, state = "pending") => {
    const labels = prefix === "queue.depth" ? { state } : {}
    const { series } = await plugin.query({ prefix, queue: "idle", labels })
    return series[0]?.points.findLast((point) => point) as { last: number; estimate: boolean } | undefined
  }
  await until(async () => (await newest("queue.depth"))?.last === 3)
  expect(await newest("queue.depth")).toMatchObject({ last: 3, estimate: false })
  expect((await newest("queue.oldest"))!.last).toBeGreaterThan(0)
  await sql(insert, ["idle", "pending", 0, 0, 12_000])
  await until(async () => (await newest("queue.depth"))!.last > 10_000)
  expect(await newest("queue.depth")).toMatchObject({ estimate: true })
})

test("the routes tell how queues and database are, and answer bad questions with why", async () => {
  const { worker, app, sql } = await startApp({
    handlers: [work.handler((well) => (well === 0 ? Promise.reject(new Error("no")) : undefined))],
    queues: [
      { name: "default", concurrency: 4 },
      { name: "idle", tags: [] },
    ],
    plugins: [first(), metrics(quick)],
  })
  await app.pauseQueue("idle")
  await app.wait(await app.pushMany(work, [1, 0, 1, 1]), { timeout: "20s" })
  const get = async (path: string) => {
    const response = await worker.route(new Request(`http://localhost/plugins/metrics${path}`))!
    return { status: response.status, body: await response.json() }
  }
  const queue = await until(async () => {
    const { queues } = (await get("/queues")).body as Snapshot
    const found = queues.find((one) => one.queue === "default")!
    return found.failureRatio === 0.25 && found.slots === 4 ? { found, queues } : undefined
  })
  expect(queue!.found).toMatchObject({ declared: true, paused: false, oldest: null })
  expect(queue!.found.waitP95).toBeGreaterThanOrEqual(0)
  expect(queue!.found.runP95).toBeGreaterThanOrEqual(0)
  expect(queue!.found.perSecond).toBeGreaterThan(0)
  expect(queue!.queues.find((one) => one.queue === "idle")).toMatchObject({
    paused: true,
    failureRatio: null,
    slots: 0,
  })

  const query = await get("/query?prefix=jobs.ended&queue=default&outcome=failed&by=name&resolution=5m")
  expect(query).toMatchObject({ status: 200, body: { resolution: "5m", series: [{ labels: { name: "work" } }] } })
  expect(await get("/query?resolution=7m")).toMatchObject({
    status: 400,
    body: { error: { code: "MILLRACE_BAD_OPTION" } },
  })
  expect(await get("/query?nonsense=1")).toMatchObject({ status: 400 })

  const [{ pid }] = (await sql<{ pid: number }>("select pg_backend_pid() as pid")) as [{ pid: number }]
  expect(pid).toBeGreaterThan(0)
  const { body } = (await get("/database")) as { body: DatabaseHealth }
  const tables = Object.fromEntries(body.tables.map((table) => [table.table, table]))
  expect(tables["jobs"]!.bytes).toBeGreaterThan(0)
  expect(tables["jobs"]!.indexBytes).toBeGreaterThan(0)
  expect(tables["jobs_history"]).toBeDefined()
  expect(body.tables.map(({ table }) => table).filter((table) => /_p\d+$/.test(table))).toEqual([])
  expect(body.notificationQueue).toBeGreaterThanOrEqual(0)
  expect(body.connections.most).toBeGreaterThan(0)
  expect(body.connections.all).toBeGreaterThan(0)
})

test("the oldest transaction is named by its process, its beginning and its newest statement", async () => {
  const { app, url } = await startApp({ worker: false, app: { plugins: [metrics()] } })
  const client = new pg.Client({ connectionString: url, application_name: "dawdler" })
  await client.connect()
  onTestFinished(() => client.end())
  await client.query("begin")
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid")
  const { oldestTransaction } = await app.plugin<MetricsPlugin>("metrics").database()
  expect(oldestTransaction).toMatchObject({ pid: rows[0]!.pid, application: "dawdler", state: "idle in transaction" })
  expect(oldestTransaction!.age).toBeGreaterThan(0)
  expect(oldestTransaction!.queryStartedAt!.getTime()).toBeGreaterThanOrEqual(oldestTransaction!.startedAt.getTime())
})
