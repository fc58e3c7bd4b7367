/*
 * What code may measure, whoever keeps it. Values are added up in memory and written together, so recording one costs
 * about as much as adding a number. Without the metrics plugin all of this does nothing.
 */

/** Small sets of short values: each combination is a series of its own, so never an id, a URL or a message. */
export type MetricLabels = Readonly<Record<string, string>>

/** Only grows: things that happened. */
export interface Counter {
  /** Default 1. What is not a positive finite number is ignored. */
  add(count?: number): void
}

/** Goes up and down: how much there is now. */
export interface Gauge {
  set(value: number): void
}

/** Values whose spread matters: durations in milliseconds, sizes. */
export interface Histogram {
  /** From 0 to 10^12; percentiles of values over 0.001 are exact to 2.2 %. What is not a finite number is ignored. */
  record(value: number): void
}

export type MetricKind = "counter" | "gauge" | "histogram"

/**
 * Makes the metrics of a plugin or an application: `ctx.metrics.counter("mail.sent", { provider: "x" }).add()`. The same
 * name and labels are the same metric.
 *
 * Names are words of lower-case letters, digits and `_`, joined by dots. All of these throw MILLRACE_BAD_NAME for another
 * name or label, and for a name that already is of another kind.
 */
export interface Meter {
  counter(name: string, labels?: MetricLabels): Counter
  gauge(name: string, labels?: MetricLabels): Gauge
  histogram(name: string, labels?: MetricLabels): Histogram
}

const nothing = { add: () => {}, set: () => {}, record: () => {} }

/** Where nobody measures. */
export const noMeter: Meter = { counter: () => nothing, gauge: () => nothing, histogram: () => nothing }
