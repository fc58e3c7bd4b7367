import type { Connection } from "../model/database.ts"
import type { MetricKind } from "../model/metrics.ts"
import { textArray, type Names } from "./sql.ts"

/** The statements of the metrics plugin. */

/** What one series gathered since the last write. */
export interface WrittenPoint {
  readonly name: string
  readonly kind: MetricKind
  readonly labels: Readonly<Record<string, string>>
  /** Of the whole installation, not of one worker. */
  readonly shared: boolean
  readonly n: number
  readonly total: number
  readonly low: number | null
  readonly high: number | null
  readonly last: number | null
  readonly estimate: boolean
  /** Of a histogram: number, count, number, count, … */
  readonly buckets: readonly number[] | null
}

export interface MetricsWrite {
  readonly writer: string
  readonly seq: number
  readonly worker: string
  /** Milliseconds since it was gathered. */
  readonly age: number
  readonly points: readonly WrittenPoint[]
}

/** Adds a batch, once however often it is sent. False: it was there already. */
export async function writeMetrics(db: Connection, names: Names, write: MetricsWrite): Promise<boolean> {
  const { rows } = await db.query<{ fresh: boolean }>(
    `select ${names.of("metrics_write_1")}($1, $2, $3, $4, $5::text::json) as fresh`,
    [write.writer, write.seq, write.worker, write.age, JSON.stringify(write.points)],
  )
  return rows[0]!.fresh
}

export interface DepthRow {
  queue: string
  state: "pending" | "scheduled" | "retrying" | "running" | "blocked"
  count: number
  /** False: there are more. */
  exact: boolean
  /** Seconds that the oldest has been ready for; null: none is. */
  oldest: number | null
}

export async function readDepth(
  db: Connection,
  names: Names,
  queues: readonly string[],
  most: number,
): Promise<DepthRow[]> {
  const { rows } = await db.query<DepthRow>(`select * from ${names.of("metrics_depth_1")}($1::text[], $2)`, [
    textArray(queues),
    most,
  ])
  return rows
}

export interface PointsQuery {
  /** Of whole words, as `jobs` or `jobs.wait`; empty: all. */
  readonly prefix: string
  /** Null: any. */
  readonly worker: string | null
  readonly labels: Readonly<Record<string, string>>
  /** Step of the rows read, seconds. */
  readonly step: number
  /** Seconds since 1970. */
  readonly from: number
  readonly to: number
  /** Most rows; one more is returned when there are more. */
  readonly most: number
}

export interface PointRow {
  series: number
  name: string
  kind: MetricKind
  labels: Record<string, string>
  worker: string
  /** Beginning of its step, seconds since 1970. */
  at: number
  n: number
  total: number
  low: number | null
  high: number | null
  last: number | null
  estimate: boolean
  buckets: number[] | null
}

export async function readPoints(db: Connection, names: Names, query: PointsQuery): Promise<PointRow[]> {
  const { rows } = await db.query<PointRow>(
    `select m.id as series, m.name, m.kind, m.labels, m.worker, extract(epoch from p.at)::float8 as at, p.n, p.total, p.low,
       p.high, p.last, p.estimate, to_json(p.buckets) as buckets
     from ${names.of("metric_series")} m join ${names.of("metric_points")} p on p.series = m.id
     where ($1 = '' or m.name = $1 or starts_with(m.name, $1 || '.')) and ($2::text is null or m.worker = $2)
       and m.labels @> $3::text::jsonb and p.step = $4 and p.at >= to_timestamp($5) and p.at < to_timestamp($6)
     order by p.at limit $7`,
    [query.prefix, query.worker, JSON.stringify(query.labels), query.step, query.from, query.to, query.most + 1],
  )
  return rows
}

/** The database's time, seconds since 1970. */
export async function databaseTime(db: Connection): Promise<number> {
  const { rows } = await db.query<{ now: number }>("select extract(epoch from now())::float8 as now")
  return rows[0]!.now
}

/** Removes points of one step that are older than so many seconds, at most `limit`. Returns how many went. */
export async function dropOldPoints(
  db: Connection,
  names: Names,
  step: number,
  seconds: number,
  limit: number,
): Promise<number> {
  const points = names.of("metric_points")
  const { count } = await db.query(
    `delete from ${points} where ctid = any(array(
       select ctid from ${points} where step = $1 and at < now() - $2::float8 * interval '1 second' order by at limit $3))
       and step = $1 and at < now() - $2::float8 * interval '1 second'`,
    [step, seconds, limit],
  )
  return count
}

/** Removes series that have no point any more, and writers that have not written for a day. */
export async function dropEmptySeries(db: Connection, names: Names): Promise<number> {
  const { count } = await db.query(
    `delete from ${names.of("metric_series")} m where m.created_at < now() - interval '1 hour'
       and not exists (select 1 from ${names.of("metric_points")} p where p.series = m.id)`,
  )
  await db.query(`delete from ${names.of("metric_writers")} where written_at < now() - interval '1 day'`)
  return count
}
