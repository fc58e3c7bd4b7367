import {
  boolean,
  list,
  oneOf,
  parseOptions,
  text,
  value,
  type OptionsInput,
  type OptionsOutput,
} from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import type { MetricKind, MetricLabels } from "../../model/metrics.ts"
import type { AppContext } from "../../model/plugin.ts"
import { databaseTime, readPoints, type PointRow } from "../../postgres/metrics.ts"
import { described, type Unit } from "./catalogue.ts"
import { bandsOf } from "./histogram.ts"
import {
  addRow,
  joined,
  nothing,
  pointOf,
  type CounterPoint,
  type GaugePoint,
  type HistogramPoint,
  type Point,
  type Sum,
} from "./points.ts"
import { steps, type Resolution } from "./steps.ts"

/*
 * Reads series over time. A step in which nobody measured is a gap, null, and never a zero: `worker.up` is written by every
 * worker in every interval, so where it has a point, what has none was zero.
 */

const isDate = (given: unknown): string | undefined =>
  given instanceof Date && !Number.isNaN(given.getTime()) ? undefined : "must be a Date"

export const queryOptions = {
  /** Names of metrics, by whole words: `jobs` is all of them, `jobs.wait` one. Default: all. */
  prefix: text({ doc: "Names of metrics, by whole words: `jobs` is all of them, `jobs.wait` one. Default: all." }),
  /** Only of this queue. */
  queue: text({ doc: "Only of this queue." }),
  /** Only of jobs with this name. */
  name: text({ doc: "Only of jobs with this name." }),
  /** Only of this worker, by its id; kept as long as steps of five minutes are. */
  worker: text({ doc: "Only of this worker, by its id; kept as long as steps of five minutes are." }),
  /** Only with these labels, as `{ outcome: "failed" }`. */
  labels: value<MetricLabels>({
    type: "labels",
    default: {},
    doc: 'Only with these labels, as `{ outcome: "failed" }`.',
    check: (given) =>
      typeof given === "object" && given !== null && Object.values(given).every((one) => typeof one === "string")
        ? undefined
        : "must be an object of texts",
  }),
  /** Labels that are told apart; what differs in others is one series. Default: all but `worker`. */
  by: list(text({ doc: "A label." }), {
    doc: "Labels that are told apart; what differs in others is one series. Default: all but `worker`.",
  }),
  /** Tells of histograms also how many values lie in which band, for heatmaps. */
  bands: boolean({
    default: false,
    doc: "Tells of histograms also how many values lie in which band, for heatmaps.",
  }),
  /** Length of a step. */
  resolution: oneOf(["1m", "5m", "1h", "1d"], { default: "1m", doc: "Length of a step." }),
  /** The first step is the one that holds this moment. Default: sixty steps before `to`. */
  from: value<Date>({
    type: "Date",
    doc: "The first step is the one that holds this moment. Default: sixty steps before `to`.",
    check: isDate,
  }),
  /** The last step is the one that holds this moment. Default: now. */
  to: value<Date>({
    type: "Date",
    doc: "The last step is the one that holds this moment. Default: now.",
    check: isDate,
  }),
}

export type MetricsQuery = OptionsInput<typeof queryOptions>

/** One line of a chart. Points are in order, one per step; null: nobody measured then. */
export type MetricSeries = {
  readonly metric: string
  readonly unit: Unit | undefined
  readonly labels: MetricLabels
} & (
  | { readonly kind: "counter"; readonly points: readonly (CounterPoint | null)[] }
  | { readonly kind: "gauge"; readonly points: readonly (GaugePoint | null)[] }
  | { readonly kind: "histogram"; readonly points: readonly (HistogramPoint | null)[] }
)

export interface MetricsResult {
  readonly resolution: Resolution
  /** Beginning of each step. The last may not be over. */
  readonly steps: readonly Date[]
  /** The database's time of the answer. */
  readonly now: Date
  readonly series: readonly MetricSeries[]
}

const mostSteps = 2_000
const mostRows = 200_000
const hints = { last: "from", since: "from", until: "to", step: "resolution", worker_id: "worker", job: "name" }

/** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION; MILLRACE_BAD_OPTION also for more than 2,000 steps or 200,000 rows. */
export async function queryMetrics(app: AppContext, given?: MetricsQuery): Promise<MetricsResult> {
  const options = parseOptions("metrics.query", queryOptions, given, hints)
  const now = await databaseTime(app.db)
  const range = rangeOf(options, now)
  const byWorker = options.worker !== undefined || (options.by?.includes("worker") ?? false)
  // Hours and days are kept for all workers together: of one, they are made of five minutes.
  const step = byWorker ? Math.min(range.step, 300) : range.step
  const query = { worker: options.worker ?? null, step, from: range.from, to: range.to, most: mostRows }
  const labels = { ...options.labels, ...only("queue", options.queue), ...only("name", options.name) }
  const [rows, covered] = await Promise.all([
    readPoints(app.db, app.names, { ...query, prefix: options.prefix ?? "", labels }),
    readPoints(app.db, app.names, { ...query, prefix: "worker.up", labels: {} }),
  ])
  if (rows.length > mostRows) throw tooMuch(`more than ${mostRows} rows`)
  const measured = new Set(covered.map(({ at }) => placeOf(at, range)))
  const groups = group(rows, range, options.by, byWorker)
  const series = Array.from(groups.values(), (one) => seriesOf(one, range, measured, now, options.bands))
  return {
    resolution: options.resolution,
    steps: range.steps,
    now: new Date(now * 1_000),
    series: series.sort(inOrder),
  }
}

const only = (label: string, value: string | undefined): MetricLabels => (value === undefined ? {} : { [label]: value })

interface Range {
  /** Seconds. */
  readonly step: number
  readonly from: number
  readonly to: number
  readonly steps: readonly Date[]
}

function rangeOf({ resolution, from, to }: OptionsOutput<typeof queryOptions>, now: number): Range {
  const step = steps[resolution]
  const floor = (seconds: number) => Math.floor(seconds / step) * step
  const last = floor(to === undefined ? now : to.getTime() / 1_000)
  const first = from === undefined ? last - 59 * step : floor(from.getTime() / 1_000)
  const count = (last - first) / step + 1
  if (count < 1) throw failure("MILLRACE_BAD_OPTION", "metrics.query: `from` lies after `to`.")
  if (count > mostSteps) throw tooMuch(`${count} steps of ${resolution} (at most ${mostSteps})`)
  const starts = Array.from({ length: count }, (_, index) => new Date((first + index * step) * 1_000))
  return { step, from: first, to: last + step, steps: starts }
}

const tooMuch = (what: string) =>
  failure("MILLRACE_BAD_OPTION", `metrics.query: that is ${what}: ask for a longer step, less time, or fewer metrics.`)

const placeOf = (at: number, { from, step }: Range): number => Math.floor((at - from) / step)

interface Group {
  readonly metric: string
  readonly kind: MetricKind
  readonly labels: MetricLabels
  /** By step, then by series. */
  readonly sums: Map<number, Map<number, Sum>>
}

function group(rows: readonly PointRow[], range: Range, by: readonly string[] | undefined, byWorker: boolean) {
  const groups = new Map<string, Group>()
  for (const row of rows) {
    const all: MetricLabels = byWorker && row.worker !== "" ? { ...row.labels, worker: row.worker } : row.labels
    const labels = by ? Object.fromEntries(Object.entries(all).filter(([label]) => by.includes(label))) : all
    const key = `${row.name} ${JSON.stringify(labels)}`
    const found = groups.get(key) ?? { metric: row.name, kind: row.kind, labels, sums: new Map() }
    groups.set(key, found)
    const place = placeOf(row.at, range)
    const step = found.sums.get(place) ?? new Map<number, Sum>()
    found.sums.set(place, step)
    const sum = step.get(row.series) ?? nothing()
    step.set(row.series, sum)
    addRow(sum, row)
  }
  return groups
}

function seriesOf(
  { metric, kind, labels, sums }: Group,
  range: Range,
  measured: ReadonlySet<number>,
  now: number,
  bands: boolean,
): MetricSeries {
  const points = range.steps.map((at, place): Point | null => {
    const parts = sums.get(place)
    if (!parts && (kind === "gauge" || !measured.has(place))) return null
    const sum = joined(kind, metric, parts ? [...parts.values()] : [])
    const passed = Math.min(range.step, Math.max(1, now - at.getTime() / 1_000))
    const point = pointOf(kind, at, sum, passed)
    return bands && kind === "histogram" ? { ...(point as HistogramPoint), bands: bandsOf(sum.buckets) } : point
  })
  return { metric, kind, unit: described(metric)?.unit, labels, points } as MetricSeries
}

const inOrder = (a: MetricSeries, b: MetricSeries): number => {
  const [left, right] = [a, b].map(({ metric, labels }) => `${metric} ${JSON.stringify(labels)}`) as [string, string]
  return left < right ? -1 : left > right ? 1 : 0
}
