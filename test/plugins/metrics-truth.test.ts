// A load whose wait and run times are known from elsewhere: measured by the handlers themselves, and by the table.
import { defineJob } from "millrace"
import { leadership, metrics, type MetricsPlugin } from "millrace/worker"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const kinds = ["quick", "slow"] as const
type Kind = (typeof kinds)[number]
const jobs = {
  quick: defineJob<number>({ name: "quick", maxAttempts: 1 }),
  slow: defineJob<number>({ name: "slow", maxAttempts: 1 }),
}
const each = 400
const mean = { quick: 4, slow: 40 } as const

interface Seen {
  readonly kind: Kind
  readonly id: string
  /** Monotonic, ms. */
  readonly started: number
  readonly run: number
  readonly failed: boolean
}

const percentile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)]!

/** Within 5 % of the truth; in addition what two clocks, read one after the other, may differ by, ms. */
function close(told: number, truth: number, slack: number): void {
  expect(Math.abs(told - truth)).toBeLessThanOrEqual(truth * 0.05 + slack)
}

test("every time and count that is told of a load is within 5 % of the truth", async () => {
  const seen: Seen[] = []
  const handle = (kind: Kind) =>
    jobs[kind].handler(async (index, job) => {
      const started = performance.now()
      await sleep(mean[kind] * (0.5 + (index % 100) / 100))
      const failed = index % 10 === 0
      seen.push({ kind, id: job.id, started, run: performance.now() - started, failed })
      if (failed) throw new Error("every tenth")
    })
  const { app, sql, addWorker } = await startApp({ worker: false, queues: [{ name: "default", concurrency: 20 }] })
  for (const kind of kinds)
    await app.pushMany(
      jobs[kind],
      Array.from({ length: each }, (_, index) => index),
    )
  // Ready for so long already: waits that are known whatever this machine does.
  await sql(`with numbered as (select id, row_number() over (order by id) as n from $schema.jobs)
    update $schema.jobs j set ready_at = now() - (5 + n.n % 50) * interval '1 second' from numbered n where n.id = j.id`)
  const ready = new Map(
    (
      await sql<{ id: string; ready: number }>(
        `select id, extract(epoch from ready_at)::float8 * 1000 as ready from $schema.jobs`,
      )
    ).map(({ id, ready }) => [id, ready]),
  )
  const offset = await databaseClock(sql)
  const worker = await addWorker({
    handlers: kinds.map(handle),
    plugins: [leadership({ mode: "always" }), metrics({ every: "100ms" })],
  })
  const plugin = worker.plugin<MetricsPlugin>("metrics")
  await until(() => seen.length === 2 * each)
  const told = await until(async () => {
    const { series } = await plugin.query({ prefix: "jobs", resolution: "1d", by: ["name"] })
    const ended = series.filter(({ metric }) => metric === "jobs.ended")
    const all = ended.reduce((sum, { points }) => sum + ((points.at(-1) as { count: number } | null)?.count ?? 0), 0)
    return all === 2 * each ? series : undefined
  })
  for (const kind of kinds) {
    const mine = seen.filter((one) => one.kind === kind)
    const of = (metric: string) =>
      told!.find((one) => one.metric === metric && one.labels["name"] === kind)!.points.at(-1) as unknown as Record<
        string,
        number
      >
    expect(of("jobs.ended")["count"]).toBe(each)
    expect(of("jobs.run")["count"]).toBe(each)
    expect(of("jobs.wait")["count"]).toBe(each)
    const runs = mine.map(({ run }) => run)
    const waits = mine.map(({ id, started }) => started + offset - ready.get(id)!)
    const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
    close(of("jobs.run")["mean"]!, average(runs), 0.5)
    close(of("jobs.wait")["mean"]!, average(waits), 5)
    for (const [name, share] of Object.entries({ p50: 0.5, p95: 0.95, p99: 0.99 })) {
      close(of("jobs.run")[name]!, percentile(runs, share), 0.5)
      close(of("jobs.wait")[name]!, percentile(waits, share), 5)
    }
  }
  const outcomes = await plugin.query({ prefix: "jobs.ended", resolution: "1d", by: ["outcome"] })
  const counts = Object.fromEntries(
    outcomes.series.map(({ labels, points }) => [labels["outcome"], (points.at(-1) as { count: number }).count]),
  )
  const failed = seen.filter((one) => one.failed).length
  expect(counts).toEqual({ succeeded: 2 * each - failed, failed })
})

/** Milliseconds from this process's monotonic clock to the database's, by the quickest of some answers. */
async function databaseClock(sql: <Row>(text: string) => Promise<Row[]>): Promise<number> {
  const looks: { offset: number; took: number }[] = []
  for (let count = 0; count < 20; count++) {
    const sent = performance.now()
    const [row] = await sql<{ now: number }>("select extract(epoch from clock_timestamp())::float8 * 1000 as now")
    const took = performance.now() - sent
    looks.push({ offset: row!.now - (sent + took / 2), took })
  }
  return looks.toSorted((a, b) => a.took - b.took)[0]!.offset
}
