import type { Connection } from "../model/database.ts"
import { plainArray, type Names } from "./sql.ts"

/*
 * The lines that handlers write. One row of `job_logs` per job that has any, with what its bounds and numbers need, and
 * one row of `job_log_chunks` per chunk that a worker sent.
 */

/** Some lines of one attempt, as they travel. */
export interface LogChunk {
  /** Counts the batches of an attempt: one that is sent again is recognised by it. */
  readonly batch: number
  /** Lines dropped right before the first one. */
  readonly skip: number
  readonly count: number
  readonly bytes: number
  /** JSON text of an array of `{ a, l, m, f }`: age in ms, level, message, fields. */
  readonly lines: string
}

export interface LogEntry {
  readonly id: string
  /** The claim that it belongs to. */
  readonly token: string
  readonly attempt: number
  readonly chunks: readonly LogChunk[]
}

/** Stores lines of claims that are valid, or were when their job finished; returns the ids of those. */
export async function saveLogs(
  db: Connection,
  names: Names,
  queue: string,
  entries: readonly LogEntry[],
): Promise<Set<string>> {
  const chunks = entries.flatMap(({ id, token, attempt, chunks: own }) =>
    own.map(
      ({ batch, skip, count, bytes, lines }) =>
        `"id":"${id}","token":"${token}","attempt":${attempt},"batch":${batch},"skip":${skip},"count":${count},"bytes":${bytes},"lines":${lines}}`,
    ),
  )
  const { rows } = await db.query<{ id: string }>(
    `select id from ${names.of("log_1")}($1, $2::uuid[], $3::uuid[], $4::text::json) as id`,
    [
      queue,
      plainArray(entries.map(({ id }) => id)),
      plainArray(entries.map(({ token }) => token)),
      `[${chunks.map((chunk, ord) => `{"ord":${ord},${chunk}`).join(",")}]`,
    ],
  )
  return new Set(rows.map(({ id }) => id))
}

/** A chunk as stored. */
export interface LogChunkRow {
  /** Number of its first line. */
  n: number
  attempt: number
  /** When it was stored; each line tells how long before that it was written. */
  at: Date
  lines: { a: number; l: string; m: string; f?: unknown }[]
}

/** The chunks of a job that hold lines behind `after`, in order; undefined when there is no such job (any more). */
export async function readLogs(
  db: Connection,
  names: Names,
  id: string,
  after: number,
  limit: number,
): Promise<LogChunkRow[] | undefined> {
  const { rows } = await db.query<{ known: boolean; n: number | null } & LogChunkRow>(
    `select known, c.n::float8 as n, c.attempt, c.at, c.lines
     from (select exists (select 1 from ${names.of("all_jobs")} j where j.id = $1) as known) k
       left join lateral (
         select * from ${names.of("job_log_chunks")} l
         where known and l.job_id = $1 and l.n > $2::bigint - 1000 and l.n + l.count > $2::bigint + 1
         order by l.n limit $3) c on true
     order by c.n`,
    [id, after, limit],
  )
  if (!rows[0]?.known) return undefined
  return rows[0].n === null ? [] : rows
}

/** Deletes the lines of jobs that are being deleted. */
export async function deleteLogs(db: Connection, names: Names, ids: readonly string[]): Promise<void> {
  await db.query(
    `with gone as (delete from ${names.of("job_logs")} where job_id = any(array(
       select l.job_id from ${names.of("job_logs")} l where l.job_id = any($1::uuid[]) order by l.job_id for update))
       returning job_id)
     delete from ${names.of("job_log_chunks")} c using gone where c.job_id = gone.job_id`,
    [plainArray(ids)],
  )
}

/**
 * Removes lines of jobs whose record is gone. Looks only at jobs that are due to be looked at, at most `limit` of them:
 * call again while as many are returned. Any number of processes may do so at once.
 *
 * @returns how many jobs were looked at, and of how many the lines were removed.
 */
export async function cleanLogs(
  db: Connection,
  names: Names,
  limit: number,
): Promise<{ looked: number; removed: number }> {
  const { rows } = await db.query<{ looked: number; removed: number }>(
    `select looked, removed from ${names.of("clean_logs_1")}($1)`,
    [limit],
  )
  return rows[0]!
}
