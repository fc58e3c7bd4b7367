import { defineJob } from "millrace"
import { leadership, metrics, pruner, type MetricsPlugin, type Plugin, type PluginContext } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const first = () => leadership({ lease: "900ms", every: "100ms" })
const quick = { every: "50ms", queuesEvery: "50ms", databaseEvery: "50ms" } as const
const work = defineJob<"well" | "badly" | "later">({ name: "work", maxAttempts: 2, backoff: { initial: 0 } })
const handler = work.handler((how) => {
  if (how === "badly") throw new Error("no")
})

/** The counts of a counter over a query, by its labels but the queue. */
async function counts(plugin: MetricsPlugin, prefix: string, query: object = {}) {
  const { series } = await plugin.query({ prefix, ...query })
  return Object.fromEntries(
    series.map(({ labels, points }) => [
      Object.entries(labels)
        .flatMap(([label, value]) => (label === "queue" ? [] : [value]))
        .join(" "),
      points.reduce((sum, point) => sum + ((point as { count?: number } | null)?.count ?? 0), 0),
    ]),
  )
}

test("every attempt is counted once, under its outcome, and its times with it", async () => {
  const { app, worker } = await startApp({ handlers: [handler], plugins: [first(), metrics(quick)] })
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  await app.wait(await app.pushMany(work, ["well", "badly", "well", "well"]), { timeout: "20s" })
  await until(async () => (await counts(plugin, "jobs.ended"))["work failed"] === 1)
  const expected = { "work succeeded": 3, "work retrying": 1, "work failed": 1 }
  for (const resolution of ["1m", "5m", "1h", "1d"]) {
    expect(await counts(plugin, "jobs.ended", { resolution })).toEqual(expected)
    expect(await counts(plugin, "jobs.run", { resolution })).toEqual(expected)
    expect(await counts(plugin, "jobs.wait", { resolution })).toEqual(expected)
    expect(await counts(plugin, "jobs.settle", { resolution })).toEqual({ "": 5 })
  }
  const { series } = await plugin.query({ prefix: "claims.jobs" })
  const claims = series[0]!.points.at(-1) as { max: number }
  expect(claims.max).toBeGreaterThan(0)
})

test("histograms tell how many values lie in which band, over workers and steps, where that is asked for", async () => {
  let seen: PluginContext | undefined
  const sizer: Plugin = { name: "sizer", onStart: (ctx) => void (seen = ctx) }
  const { app } = await startApp({ app: { plugins: [metrics(quick), sizer] }, plugins: [first()] })
  const ctx = await until(() => seen!)
  for (const size of [3, 3.5, 5, 100, 127, 0.3]) ctx.metrics.histogram("sizes", { a: "x" }).record(size)
  for (const size of [3, 1_000]) ctx.metrics.histogram("sizes", { a: "y" }).record(size)
  const plugin = app.plugin<MetricsPlugin>("metrics")
  const newest = async (query: object) => {
    const { series } = await plugin.query({ prefix: "sizes", resolution: "1d", ...query })
    return series[0]?.points.at(-1) as { count: number; bands?: unknown } | undefined
  }
  await until(async () => (await newest({ by: [] }))?.count === 8)
  const joined = [[0.5, 1], [4, 3], [8, 1], [128, 2], [1_024, 1]] // prettier-ignore
  expect(await newest({ by: [], bands: true })).toMatchObject({ count: 8, bands: joined })
  expect(await newest({ labels: { a: "y" }, bands: true })).toMatchObject({ bands: [[4, 1], [1_024, 1]] }) // prettier-ignore
  expect(await newest({ by: [] })).not.toHaveProperty("bands")
})

test("a plugin measures with ctx.metrics, and everybody can read it", async () => {
  let seen: PluginContext | undefined
  const mailer: Plugin = { name: "mailer", onStart: (ctx) => void (seen = ctx) }
  const { app } = await startApp({ app: { plugins: [metrics(quick), mailer] }, plugins: [first()] })
  const ctx = await until(() => seen!)
  ctx.metrics.counter("mail.sent", { provider: "x" }).add(3)
  ctx.metrics.counter("mail.sent", { provider: "x" }).add()
  ctx.metrics.gauge("mail.open").set(7)
  for (const size of [100, 200, 300]) ctx.metrics.histogram("mail.size").record(size)
  const plugin = app.plugin<MetricsPlugin>("metrics")
  const found = await until(async () => {
    const { series } = await plugin.query({ prefix: "mail" })
    return series.length === 3 ? series : undefined
  })
  const newest = Object.fromEntries(found!.map(({ metric, points }) => [metric, points.findLast((point) => point)]))
  expect(newest["mail.sent"]).toMatchObject({ count: 4 })
  expect(newest["mail.open"]).toMatchObject({ value: 7, min: 7, max: 7, last: 7 })
  expect(newest["mail.size"]).toMatchObject({ count: 3, mean: 200, min: 100, max: 300 })
  expect((newest["mail.size"] as { p50: number }).p50).toBeCloseTo(200, -1)
  expect((await plugin.query({ prefix: "mai" })).series).toEqual([])
})

test.each([
  [(ctx: PluginContext) => ctx.metrics.counter("Mail"), /cannot name a metric/],
  [(ctx: PluginContext) => ctx.metrics.counter("jobs.ended"), /Millrace's own/],
  [(ctx: PluginContext) => ctx.metrics.gauge("worker.info"), /one to a scraper/],
  [(ctx: PluginContext) => ctx.metrics.counter("a", { le: "1" }), /cannot have a label "le"/],
  [(ctx: PluginContext) => ctx.metrics.counter("a", { b: 1 as never }), /must be text/],
  [(ctx: PluginContext) => (ctx.metrics.counter("b"), ctx.metrics.gauge("b")), /is a counter, not a gauge/],
  [(ctx: PluginContext) => (ctx.metrics.gauge("c.d"), ctx.metrics.gauge("c_d")), /one to a scraper/],
  [(ctx: PluginContext) => (ctx.metrics.histogram("e"), ctx.metrics.gauge("e.count")), /one to a scraper/],
])("names and labels that cannot be are refused: %#", async (make, message) => {
  let seen: PluginContext | undefined
  await startApp({ plugins: [first(), { name: "own", onStart: (ctx) => void (seen = ctx) }] })
  const ctx = await until(() => seen!)
  expect(() => make(ctx)).toThrow(
    expect.objectContaining({ code: "MILLRACE_BAD_NAME", message: expect.stringMatching(message) }),
  )
})

test("without the plugin, measuring does nothing", async () => {
  let seen: PluginContext | undefined
  await startApp({ defaultPlugins: false, plugins: [{ name: "own", onStart: (ctx) => void (seen = ctx) }] })
  const ctx = await until(() => seen!)
  ctx.metrics.counter("a").add()
  ctx.metrics.gauge("a").set(1)
  ctx.metrics.histogram("a").record(1)
})

test("a step in which nobody measured is a gap, and one in which nothing happened is a zero", async () => {
  const { app, worker, sql } = await startApp({ handlers: [handler], plugins: [first(), metrics(quick)] })
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  await app.wait([await app.push(work, "well")], { timeout: "20s" })
  await until(async () => (await counts(plugin, "jobs.ended"))["work succeeded"] === 1)
  // The job is moved three minutes back, beside a sign of life; two minutes back there is the sign alone.
  await sql(`update $schema.metric_points p set at = at - interval '3 minutes' from $schema.metric_series s
    where s.id = p.series and s.name ~ '^jobs' and p.step = 60`)
  await sql(`insert into $schema.metric_points (series, step, at, n, total, low, high, last)
    select distinct on (s.id, b) s.id, 60, date_trunc('minute', now()) - b * interval '1 minute', 1, 1, 1, 1, 1
    from $schema.metric_series s, unnest(array[2, 3]) b where s.name = 'worker.up' on conflict do nothing`)
  const { series, steps, now } = await plugin.query({ prefix: "jobs.ended" })
  const at = new Date(Math.floor(now.getTime() / 60_000) * 60_000)
  const points = series[0]!.points.map((point, index) => [
    (at.getTime() - steps[index]!.getTime()) / 60_000,
    (point as { count: number } | null)?.count ?? null,
  ])
  const close = points.filter(([minutes]) => minutes! >= 2 && minutes! <= 5)
  const found = Object.fromEntries(close.map(([minutes, count]) => [String(minutes), count]))
  // Should the minute have turned in between, the job lies three or four minutes back.
  expect(Object.values(found).filter((count) => count === 1)).toHaveLength(1)
  expect(found["5"]).toBeNull()
  expect(found["2"]).not.toBeNull()
  const waits = (await plugin.query({ prefix: "jobs.wait" })).series[0]!.points
  expect(waits.find((point) => point && (point as { count: number }).count === 0)).toMatchObject({
    count: 0,
    p50: null,
    mean: null,
  })
})

test("of one worker alone, at any step; of several, together", async () => {
  const { app, worker, addWorker, sql } = await startApp({
    handlers: [handler],
    queues: [{ name: "default", concurrency: 2 }],
    plugins: [first(), metrics(quick)],
    id: "one",
  })
  const other = await addWorker({ id: "two", handlers: [handler], plugins: [first(), metrics(quick)] })
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  await app.wait(await app.pushMany(work, ["well", "well", "well", "well"]), { timeout: "20s" })
  await until(async () => (await counts(plugin, "jobs.ended"))["work succeeded"] === 4)
  const both = await sql<{ worker: string; count: number }>(
    `select worker, count(*)::integer as count from $schema.jobs_history group by worker`,
  )
  for (const resolution of ["1m", "1h", "1d"]) {
    for (const id of ["one", "two"]) {
      const own = both.find((row) => row.worker === id)?.count
      const expected = own === undefined ? {} : { [`work succeeded ${id}`]: own }
      expect(await counts(plugin, "jobs.ended", { worker: id, resolution })).toEqual(expected)
    }
  }
  const slots = async (query: object) => {
    const { series } = await plugin.query({ prefix: "worker.slots", ...query })
    return series.map(({ labels, points }) => [labels["worker"], (points.at(-1) as { last: number } | null)?.last])
  }
  await until(async () => (await slots({ by: ["worker"] })).length === 2)
  expect(await slots({ by: ["worker"] })).toEqual([
    ["one", 2],
    ["two", 2],
  ])
  expect(await slots({})).toEqual([[undefined, 4]])
  await other.stop()
})

test("what a job did right before the worker stopped is counted, too", async () => {
  const { app, worker, addApp } = await startApp({
    handlers: [handler],
    plugins: [leadership({ mode: "always" }), metrics({ every: "1m" })],
  })
  await app.wait(await app.pushMany(work, ["well", "well"]), { timeout: "20s" })
  await worker.stop()
  const reader = addApp({ plugins: [metrics()] })
  expect(await counts(reader.plugin<MetricsPlugin>("metrics"), "jobs.ended")).toEqual({ "work succeeded": 2 })
})

test("a batch that is sent twice counts once", async () => {
  const { sql } = await startApp({ worker: false })
  const point = { name: "a", kind: "counter", labels: {}, shared: false, n: 1, total: 5, estimate: false }
  const write = async (seq: number) =>
    (
      await sql<{ fresh: boolean }>(
        `select $schema.metrics_write_1('00000000-0000-4000-8000-000000000001', $1, 'w', 0, $2::text::json) as fresh`,
        [seq, JSON.stringify([point])],
      )
    )[0]!.fresh
  expect([await write(1), await write(1), await write(2), await write(1), await write(2)]).toEqual([
    true,
    false,
    true,
    false,
    false,
  ])
  expect(await sql(`select step, total from $schema.metric_points order by step`)).toEqual(
    [60, 300, 3_600, 86_400].map((step) => ({ step, total: 10 })),
  )
})

test("writers add to the same histogram at once, and nothing is lost", async () => {
  const { sql } = await startApp({ worker: false })
  const point = {
    name: "a",
    kind: "histogram",
    labels: {},
    shared: true,
    n: 3,
    total: 6,
    low: 1,
    high: 3,
    estimate: false,
  }
  const writers = Array.from({ length: 8 }, (_, index) => `00000000-0000-4000-8000-00000000000${index}`)
  const writes = writers.flatMap((writer, index) =>
    [1, 2, 3].map(
      (seq) => () =>
        sql(`select $schema.metrics_write_1($1::uuid, $2, $1::uuid::text, 0, $3::text::json)`, [
          writer,
          seq,
          JSON.stringify([{ ...point, buckets: [index, 1, 100, 2] }]),
        ]),
    ),
  )
  const rounds = [0, 1, 2].map((round) => writes.filter((_, index) => index % 3 === round))
  for (const round of rounds) await Promise.all(round.map((send) => send()))
  const rows = await sql<{ n: string; buckets: string[] }>(
    `select n, buckets from $schema.metric_points where step = 86400`,
  )
  expect(rows.map(({ n, buckets }) => [Number(n), buckets.map(Number)])).toEqual([
    [72, [...writers.flatMap((_, index) => [index, 3]), 100, 48]],
  ])
})

test("points go when their time is over, each step's own, and empty series with them", async () => {
  const { sql } = await startApp({
    plugins: [first(), metrics({ ...quick, keep: { "1m": "1h" } }), pruner({ every: "50ms" })],
  })
  await sql(`with old as (
      insert into $schema.metric_series (name, kind, labels, worker, created_at)
      values ('old', 'counter', '{}', '', now() - interval '2 hours') returning id)
    insert into $schema.metric_points (series, step, at, n, total)
    select id, s, now() - interval '2 hours', 1, 1 from old, unnest(array[60, 300]) s`)
  const kept = async () =>
    (
      await sql<{ step: number }>(`select p.step from $schema.metric_points p
        join $schema.metric_series s on s.id = p.series where s.name = 'old'`)
    ).map(({ step }) => step)
  await until(async () => !(await kept()).includes(60))
  expect(await kept()).toEqual([300])
  await sql(`update $schema.metric_points p set at = now() - interval '8 days' from $schema.metric_series s
    where s.id = p.series and s.name = 'old'`)
  await until(async () => (await sql(`select 1 from $schema.metric_series where name = 'old'`)).length === 0)
})

test("what recovery took back is counted where it was done", async () => {
  const { sql, worker } = await startApp({ plugins: [first(), metrics(quick)], sweep: "50ms" })
  await sql(`with dead as (
      insert into $schema.workers (incarnation, id, hostname, pid, tags, expires_at)
      values (gen_random_uuid(), 'gone', 'h', 1, '{}', now() - interval '1 minute') returning incarnation)
    insert into $schema.jobs (id, name, queue, state, token, worker, claims)
    select gen_random_uuid(), 'lost', 'elsewhere', 'running', gen_random_uuid(), incarnation, 1 from dead, generate_series(1, 3)`)
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  await until(async () => {
    const { series } = await plugin.query({ prefix: "jobs.recovered", queue: "elsewhere" })
    return series.length === 1 && series[0]!.points.some((point) => (point as { count: number } | null)?.count === 3)
  })
})

test.each([
  [() => metrics({ interval: 5 } as never), /every/],
  [() => metrics({ keep: { "2m": "1d" } as never }), /there is no step "2m"/],
  [() => metrics({ keep: { "1d": "1h" } }), /shorter than the step/],
  [() => metrics({ every: 1 }), /every/],
])("bad options are refused where they are written: %#", (make, message) => {
  expect(make).toThrow(message)
})

test("bad questions are refused, and say what can be asked", async () => {
  const { app } = await startApp({ worker: false, app: { plugins: [metrics()] } })
  const plugin = app.plugin<MetricsPlugin>("metrics")
  await expect(plugin.query({ resolution: "2m" as never })).rejects.toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  await expect(plugin.query({ step: "1m" } as never)).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_OPTION" })
  await expect(plugin.query({ from: new Date(0) })).rejects.toThrow(/at most 2000/)
  await expect(plugin.query({ from: new Date(), to: new Date(0) })).rejects.toThrow(/lies after/)
  expect(await plugin.query({ prefix: "jobs" })).toMatchObject({ resolution: "1m", series: [] })
})
