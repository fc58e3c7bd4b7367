import type { MetricKind, MetricLabels } from "../../model/metrics.ts"
import type { WrittenPoint } from "../../postgres/metrics.ts"
import { Buckets } from "./histogram.ts"

/*
 * One series in memory: what it gathered since it was last written, and since the process started, for scrapers. On the
 * way of every job, so plain numbers.
 */

export interface Series {
  readonly name: string
  readonly kind: MetricKind
  readonly labels: MetricLabels
  /** Of the installation, not of this worker. */
  readonly shared: boolean
  /** What came since the last time; undefined: nothing. */
  take(): WrittenPoint | undefined
}

type Identity = Pick<Series, "name" | "labels" | "shared">

const empty = { low: null, high: null, last: null, estimate: false, buckets: null } as const

export class CounterSeries implements Series {
  readonly kind = "counter"
  readonly name: string
  readonly labels: MetricLabels
  readonly shared: boolean
  /** Since the process started. */
  sum = 0
  #taken = 0

  constructor({ name, labels, shared }: Identity) {
    this.name = name
    this.labels = labels
    this.shared = shared
  }

  add(count = 1): void {
    if (count > 0 && count < Infinity) this.sum += count
  }

  take(): WrittenPoint | undefined {
    const { name, kind, labels, shared } = this
    const total = this.sum - this.#taken
    if (total === 0) return undefined
    this.#taken = this.sum
    return { name, kind, labels, shared, n: 1, total, ...empty }
  }
}

export class GaugeSeries implements Series {
  readonly kind = "gauge"
  readonly name: string
  readonly labels: MetricLabels
  readonly shared: boolean
  /** Undefined: not known (any more). */
  value: number | undefined
  estimate = false
  #n = 0
  #total = 0
  #low = Infinity
  #high = -Infinity

  constructor({ name, labels, shared }: Identity) {
    this.name = name
    this.labels = labels
    this.shared = shared
  }

  set(value: number, estimate = false): void {
    if (!Number.isFinite(value)) return
    this.value = value
    this.estimate = estimate
    this.#n += 1
    this.#total += value
    this.#low = Math.min(this.#low, value)
    this.#high = Math.max(this.#high, value)
  }

  /** Nothing is known of it any more. */
  forget(): void {
    this.value = undefined
  }

  take(): WrittenPoint | undefined {
    if (this.#n === 0) return undefined
    const { name, kind, labels, shared, estimate } = this
    const seen = {
      n: this.#n,
      total: this.#total,
      low: this.#low,
      high: this.#high,
      last: this.value ?? null,
      estimate,
    }
    this.#n = this.#total = 0
    this.#low = Infinity
    this.#high = -Infinity
    return { name, kind, labels, shared, ...seen, buckets: null }
  }
}

export class HistogramSeries implements Series {
  readonly kind = "histogram"
  readonly name: string
  readonly labels: MetricLabels
  readonly shared: boolean
  readonly buckets = new Buckets()
  /** Since the process started. */
  count = 0
  sum = 0
  #taken = 0
  #takenSum = 0
  #low = Infinity
  #high = -Infinity

  constructor({ name, labels, shared }: Identity) {
    this.name = name
    this.labels = labels
    this.shared = shared
  }

  record(value: number): void {
    if (!(value < Infinity)) return
    const kept = value > 0 ? value : 0
    this.count += 1
    this.sum += kept
    this.buckets.add(kept)
    if (kept < this.#low) this.#low = kept
    if (kept > this.#high) this.#high = kept
  }

  take(): WrittenPoint | undefined {
    const n = this.count - this.#taken
    if (n === 0) return undefined
    const { name, kind, labels, shared } = this
    const point = { n, total: this.sum - this.#takenSum, low: this.#low, high: this.#high, last: null, estimate: false }
    this.#taken = this.count
    this.#takenSum = this.sum
    this.#low = Infinity
    this.#high = -Infinity
    return { name, kind, labels, shared, ...point, buckets: this.buckets.take() }
  }
}
