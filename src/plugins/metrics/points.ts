import type { MetricKind } from "../../model/metrics.ts"
import type { PointRow } from "../../postgres/metrics.ts"
import { described } from "./catalogue.ts"
import { merge, percentile } from "./histogram.ts"

/** From rows to the points of a chart: rows of finer steps and of several series become one. */

/** Things that happened within a step. */
export interface CounterPoint {
  readonly at: Date
  readonly count: number
  /** Of a step that is not over: per second so far. */
  readonly perSecond: number
}

/** How much there was, on average, at least and at most, within a step. */
export interface GaugePoint {
  readonly at: Date
  readonly value: number
  readonly min: number
  readonly max: number
  /** The last value that was seen. */
  readonly last: number
  /** Some value in it is an estimate. */
  readonly estimate: boolean
}

/** The spread of the values of a step. Percentiles are exact to 2.2 %; null where there was no value. */
export interface HistogramPoint {
  readonly at: Date
  readonly count: number
  readonly perSecond: number
  readonly mean: number | null
  readonly min: number | null
  readonly max: number | null
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  /** With the option `bands`: upper bound of a band and how many values lie in it, without empty ones. A band is a doubling. */
  readonly bands?: readonly (readonly [upTo: number, count: number])[]
}

export type Point = CounterPoint | GaugePoint | HistogramPoint

/** What one series, or several, gathered in one step. */
export interface Sum {
  n: number
  total: number
  low: number
  high: number
  last: number
  estimate: boolean
  buckets: readonly number[]
}

export const nothing = (): Sum => ({
  n: 0,
  total: 0,
  low: Infinity,
  high: -Infinity,
  last: 0,
  estimate: false,
  buckets: [],
})

/** The same series, later within the step. */
export function addRow(sum: Sum, row: PointRow): void {
  sum.n += row.n
  sum.total += row.total
  sum.low = Math.min(sum.low, row.low ?? Infinity)
  sum.high = Math.max(sum.high, row.high ?? -Infinity)
  sum.last = row.last ?? sum.last
  sum.estimate ||= row.estimate
  if (row.buckets) sum.buckets = merge(sum.buckets, row.buckets)
}

/** Several series as one. Gauges become averages first, so that each counts alike however often it was looked at. */
export function joined(kind: MetricKind, metric: string, parts: readonly Sum[]): Sum {
  if (kind === "gauge") return joinedGauges(metric, parts)
  const all = nothing()
  for (const part of parts) {
    all.n += part.n
    all.total += part.total
    all.low = Math.min(all.low, part.low)
    all.high = Math.max(all.high, part.high)
    all.buckets = merge(all.buckets, part.buckets)
  }
  return all
}

function joinedGauges(metric: string, parts: readonly Sum[]): Sum {
  const join =
    described(metric)?.merge === "max" ? Math.max : (...values: number[]) => values.reduce((a, b) => a + b, 0)
  const of = (value: (part: Sum) => number) => join(...parts.map(value))
  return {
    n: 1,
    total: of((part) => part.total / part.n),
    low: of((part) => part.low),
    high: of((part) => part.high),
    last: of((part) => part.last),
    estimate: parts.some((part) => part.estimate),
    buckets: [],
  }
}

/** @param seconds that the step has lasted. */
export function pointOf(kind: MetricKind, at: Date, sum: Sum, seconds: number): Point {
  if (kind === "counter") return { at, count: sum.total, perSecond: sum.total / seconds }
  if (kind === "gauge")
    return { at, value: sum.total, min: sum.low, max: sum.high, last: sum.last, estimate: sum.estimate }
  const spread = sum.n > 0 ? spreadOf(sum) : { mean: null, min: null, max: null, p50: null, p95: null, p99: null }
  return { at, count: sum.n, perSecond: sum.n / seconds, ...spread }
}

function spreadOf({ n, total, low, high, buckets }: Sum) {
  // A bucket's middle may lie outside of what was seen.
  const share = (p: number) => Math.min(high, Math.max(low, percentile(buckets, p) ?? low))
  return { mean: total / n, min: low, max: high, p50: share(0.5), p95: share(0.95), p99: share(0.99) }
}
