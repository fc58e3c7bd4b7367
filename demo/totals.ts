// What a pass found in all: for the jobs one query, since results are just rows.
import type pg from "pg"
import type { Measurement } from "./measure.ts"
import type { Standing } from "./progress.ts"

export interface Totals {
  files: number
  failed: number
  bytes: number
  lines: number
  gzip: number
  /** SHA-256 of all lines "digest  path", in the order of the paths' bytes: what `sha256sum` would print, hashed. */
  digest: string
}

export interface Share {
  id: string
  jobs: number
  bytes: number
}

/** What only jobs have. */
export interface Account {
  seconds: number
  attempts: number
  retries: number
  /** Jobs that came back from a lost worker. */
  crashes: number
  /** Seconds from push to done. */
  p50: number
  p95: number
  shares: Share[]
}

/** Jobs of one run are found by its tag. */
export async function standing(pool: pg.Pool, tag: string): Promise<Omit<Standing, "total">> {
  const { rows } = await pool.query<{ done: number; failed: number; retries: number }>(
    `select count(finished_at)::float8 as done,
       (count(*) filter (where state in ('failed', 'cancelled')))::float8 as failed,
       coalesce(sum(greatest(attempts - (finished_at is not null)::int, 0)), 0)::float8 as retries
     from millrace.all_jobs where tags @> array[$1]`,
    [tag],
  )
  return rows[0] ?? { done: 0, failed: 0, retries: 0 }
}

export async function totalsOf(pool: pg.Pool, tag: string): Promise<Totals> {
  const { rows } = await pool.query<Totals>(
    `select (count(*) filter (where state = 'succeeded'))::float8 as files,
       (count(*) filter (where state <> 'succeeded'))::float8 as failed,
       coalesce(sum((result->>'bytes')::bigint), 0)::float8 as bytes,
       coalesce(sum((result->>'lines')::bigint), 0)::float8 as lines,
       coalesce(sum((result->>'gzip')::bigint), 0)::float8 as gzip,
       encode(sha256(convert_to(coalesce(string_agg(
         (result->>'sha256') || '  ' || (payload->>'file') || E'\\n', '' order by payload->>'file' collate "C"
       ), ''), 'UTF8')), 'hex') as digest
     from millrace.all_jobs where tags @> array[$1]`,
    [tag],
  )
  return rows[0]!
}

export async function accountOf(pool: pg.Pool, tag: string, begun: Date): Promise<Account> {
  const { rows } = await pool.query<Omit<Account, "shares">>(
    `select coalesce(extract(epoch from max(finished_at) - $2::timestamptz), 0)::float8 as seconds,
       coalesce(sum(attempts), 0)::float8 as attempts,
       coalesce(sum(greatest(attempts - 1, 0)), 0)::float8 as retries,
       (count(*) filter (where crashes > 0))::float8 as crashes,
       coalesce(percentile_cont(0.50) within group (order by extract(epoch from finished_at - created_at)), 0) as p50,
       coalesce(percentile_cont(0.95) within group (order by extract(epoch from finished_at - created_at)), 0) as p95
     from millrace.all_jobs where tags @> array[$1]`,
    [tag, begun],
  )
  const shares = await pool.query<Share>(
    `select worker as id, count(*)::float8 as jobs, coalesce(sum((result->>'bytes')::bigint), 0)::float8 as bytes
     from millrace.all_jobs
     where tags @> array[$1] and worker is not null group by worker order by worker`,
    [tag],
  )
  return { ...rows[0]!, shares: shares.rows }
}

export async function failuresOf(pool: pg.Pool, tag: string, limit: number) {
  const { rows } = await pool.query<{ file: string; message: string }>(
    `select payload->>'file' as file, errors->-1->>'message' as message
     from millrace.all_jobs where tags @> array[$1] and state <> 'succeeded' order by 1 limit $2`,
    [tag, limit],
  )
  return rows
}

export interface StoredJob {
  id: string
  file: string
  result: Measurement | null
}

export async function storedJobs(pool: pg.Pool, tag: string): Promise<Map<string, StoredJob>> {
  const { rows } = await pool.query<StoredJob>(
    "select id, payload->>'file' as file, result from millrace.all_jobs where tags @> array[$1]",
    [tag],
  )
  return new Map(rows.map((row) => [row.file, row]))
}
