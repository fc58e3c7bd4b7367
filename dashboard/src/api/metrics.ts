import { get } from "./http.ts"

export type Resolution = "1m" | "5m" | "1h" | "1d"

export interface Point {
  at: string
  /** Counters and histograms. */
  count?: number
  perSecond?: number
  /** Gauges. */
  value?: number
  last?: number
  /** Histograms. */
  p50?: number | null
  p95?: number | null
  p99?: number | null
  mean?: number | null
  /** With `bands`: upper bound and count. */
  bands?: readonly (readonly [number, number])[]
}

export interface Series {
  metric: string
  kind: "counter" | "gauge" | "histogram"
  unit?: "ms" | "s" | "bytes" | "ratio"
  labels: Readonly<Record<string, string>>
  /** One per step; null: nobody measured then. */
  points: readonly (Point | null)[]
}

export interface MetricsResult {
  resolution: Resolution
  steps: readonly string[]
  now: string
  series: readonly Series[]
}

export interface MetricsQuery {
  prefix?: string
  queue?: string
  name?: string
  worker?: string
  by?: string
  bands?: "true"
  resolution?: Resolution
  from?: string
  to?: string
}

const base = "/plugins/metrics"

export const queryMetrics = (query: MetricsQuery): Promise<MetricsResult> => get(`${base}/query`, { ...query })

export interface QueueNow {
  queue: string
  slots: number
  perSecond: number
  failureRatio: number | null
  waitP95: number | null
  runP95: number | null
}

export const metricsNow = (): Promise<{
  at: string
  workers: number
  perSecond: number
  queues: readonly QueueNow[]
}> => get(`${base}/queues`)

export interface TableHealth {
  table: string
  bytes: number
  indexBytes: number
  rows: number
  deadRows: number
  vacuumedAt: string | null
}

export interface DatabaseHealth {
  version: string
  tables: readonly TableHealth[]
  oldestTransaction: { pid: number; application: string; state: string; age: number; startedAt: string } | null
  notificationQueue: number
  connections: { states: Readonly<Record<string, number>>; all: number; most: number }
}

export const databaseHealth = (): Promise<DatabaseHealth> => get(`${base}/database`)
