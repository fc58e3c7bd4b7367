import { duration, parseOptions, value, type OptionsInput } from "../../lib/options.ts"
import { describe } from "../../lib/error.ts"
import { badPlugin, type AppContext, type Plugin, type PluginContext } from "../../model/plugin.ts"
import type { Meter } from "../../model/metrics.ts"
import { databaseHealth, type DatabaseHealth } from "../../postgres/database-health.ts"
import { dropEmptySeries, dropOldPoints } from "../../postgres/metrics.ts"
import { verdict } from "../../postgres/sqlstate.ts"
import { Measuring } from "./measuring.ts"
import { queryMetrics, type MetricsQuery, type MetricsResult } from "./query.ts"
import { routesOf } from "./routes.ts"
import { takeSnapshot, type Snapshot } from "./snapshot.ts"
import { parseKeep, steps, usualKeep, type Keep, type Resolution } from "./steps.ts"

/*
 * Measures what jobs, queues, workers and the database do, and keeps it in the database: see docs/metrics.md, and
 * docs/design/metrics.md for why it is as it is.
 */

export type { DatabaseHealth, Keep, MetricsQuery, MetricsResult, Snapshot }
export type { CounterPoint, GaugePoint, HistogramPoint } from "./points.ts"
export type { MetricSeries } from "./query.ts"
export type { QueueNow } from "./snapshot.ts"

export const metricsOptions = {
  /** How often each worker writes what it gathered. */
  every: duration({ default: "10s", min: 50, max: 60_000, doc: "How often each worker writes what it gathered." }),
  /** How often the leader counts the jobs of each queue. */
  queuesEvery: duration({
    default: "15s",
    min: 50,
    max: 3_600_000,
    doc: "How often the leader counts the jobs of each queue.",
  }),
  /** How often the leader looks at the database. */
  databaseEvery: duration({
    default: "1m",
    min: 50,
    max: 3_600_000,
    doc: "How often the leader looks at the database.",
  }),
  /** How long points of each step are kept: `{ "1m": "1d", "5m": "7d", "1h": "90d", "1d": "730d" }`, or some of them. */
  keep: value<Keep>({
    type: "{ step: duration }",
    default: usualKeep,
    doc: "How long points of each step are kept, all or some of them.",
    check: (given) => (typeof given === "object" && given !== null ? undefined : "must be an object of durations"),
  }),
}

export type MetricsOptions = OptionsInput<typeof metricsOptions>

const hints = {
  interval: "every",
  flush_interval: "every",
  collect_interval: "every",
  retention: "keep",
  name: "It is always `metrics`.",
}

/** The plugin, and its functions for applications. */
export interface MetricsPlugin extends Plugin {
  /**
   * Series over time. Of an app without the plugin, ask a worker's: `worker.plugin<MetricsPlugin>("metrics").query(…)`.
   *
   * @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION.
   */
  query(query?: MetricsQuery): Promise<MetricsResult>
  /** How every queue is now. */
  snapshot(): Promise<Snapshot>
  /** How the database is now. */
  database(): Promise<DatabaseHealth>
  /** What a worker measures with; plugins have it as `ctx.metrics`. */
  meterFor(worker: string): Meter
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function metrics(given?: MetricsOptions): MetricsPlugin {
  const options = parseOptions("metrics", metricsOptions, given, hints)
  const keep = parseKeep(options.keep)
  // One plugin object may serve several workers of a process.
  const workers = new Map<string, Measuring>()
  const of = (worker: string): Measuring => {
    const found = workers.get(worker) ?? new Measuring(worker, options)
    workers.set(worker, found)
    return found
  }
  let home: AppContext | undefined
  const app = (): AppContext => {
    if (home) return home
    throw badPlugin(
      "metrics: this plugin has no app yet; give it to new Millrace({ plugins: […] }), or start its worker.",
    )
  }
  return {
    name: "metrics",
    query: (query) => queryMetrics(app(), query),
    snapshot: () => takeSnapshot(app()),
    database: () => databaseHealth(app().db, app().names),
    meterFor: (worker) => of(worker).registry.meter,
    attach: (own) => void (home = own),
    onStart: (ctx) => {
      home ??= ctx
      of(ctx.worker.id).listen(ctx)
    },
    onStop: (ctx) => of(ctx.worker.id).deafen(),
    run: (ctx) => run(ctx, of(ctx.worker.id), options.every),
    saved: (batch, worker) => of(worker).recorder.ended(batch),
    claimed: (claim) => of(claim.worker).recorder.claimed(claim),
    async drained(ctx) {
      await of(ctx.worker.id).write(ctx)
      workers.delete(ctx.worker.id)
    },
    cleanup: (ctx) => cleanUp(ctx, keep),
    routes: routesOf((worker) => of(worker).registry.all),
  }
}

async function run(ctx: PluginContext, measuring: Measuring, every: number): Promise<void> {
  do {
    await measuring.look(ctx).catch((error: unknown) => {
      if (verdict(error) === "fatal") throw error
      ctx.log.debug("metrics: the database could not be looked at", { error: describe(error) })
    })
    await measuring.write(ctx)
  } while (await ctx.sleep(every))
}

const atOnce = 5_000

async function cleanUp({ db, names }: PluginContext, keep: Readonly<Record<Resolution, number>>): Promise<number> {
  let removed = 0
  for (const resolution of Object.keys(steps) as Resolution[]) {
    for (let some = atOnce; some === atOnce;) {
      some = await dropOldPoints(db, names, steps[resolution], keep[resolution], atOnce)
      removed += some
    }
  }
  if (removed > 0) removed += await dropEmptySeries(db, names)
  return removed
}
