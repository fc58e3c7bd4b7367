import type { Connection } from "../model/database.ts"
import { plainArray, textArray, type Names } from "./sql.ts"

export interface WorkerRow {
  /** UUID of this incarnation: a new one at every start and after every lost lease. */
  readonly incarnation: string
  readonly id: string
  readonly hostname: string
  readonly pid: number
  readonly tags: readonly string[]
  readonly handlers: readonly string[]
}

/** Enters a worker, unless a live one has its id: then its lease in milliseconds is returned, and nothing is written. */
export async function registerWorker(
  db: Connection,
  names: Names,
  worker: WorkerRow,
  leaseMs: number,
): Promise<number | undefined> {
  const { count } = await db.query(
    `insert into ${names.of("workers")} (incarnation, id, hostname, pid, tags, handlers, expires_at)
     values ($1, $2, $3, $4, $5::text[], $6::text[], now() + $7::float8 * interval '1 millisecond') on conflict (id) do nothing`,
    [
      worker.incarnation,
      worker.id,
      worker.hostname,
      worker.pid,
      textArray(worker.tags),
      textArray(worker.handlers),
      leaseMs,
    ],
  )
  if (count > 0) return undefined
  const { rows } = await db.query<{ left_ms: number | null }>(
    `select greatest(extract(epoch from expires_at - now()) * 1000, 0)::float8 as left_ms from ${names.of("workers")}
     where id = $1 and expires_at > '-infinity'`,
    [worker.id],
  )
  return rows[0]?.left_ms ?? 0
}

/** Renews a lease that has not expired; an expired one stays expired, and false is returned. */
export const renewSql = (names: Names): string =>
  `update ${names.of("workers")} set seen_at = now(), expires_at = now() + $2::float8 * interval '1 millisecond'
   where incarnation = $1 and expires_at > now()`

export async function renewWorker(
  db: Connection,
  names: Names,
  incarnation: string,
  leaseMs: number,
): Promise<boolean> {
  const { count } = await db.query(renewSql(names), [incarnation, leaseMs])
  return count > 0
}

/** Ends a lease at once: whoever sweeps next takes the worker's claims back. */
export const expireSql = (names: Names): string =>
  `update ${names.of("workers")} set expires_at = now() - interval '1 millisecond' where incarnation = $1 and expires_at > now()`

export async function announceQueues(
  db: Connection,
  names: Names,
  incarnation: string,
  queues: readonly string[],
): Promise<void> {
  await db.query(`update ${names.of("workers")} set queues = $2::text[] where incarnation = $1`, [
    incarnation,
    textArray(queues),
  ])
}

export async function removeWorker(db: Connection, names: Names, incarnation: string): Promise<void> {
  await db.query(`delete from ${names.of("workers")} where incarnation = $1`, [incarnation])
}

/** A job that was taken back from a dead worker. */
export interface RecoveredRow {
  id: string
  queue: string
  state: "pending" | "failed" | "cancelled"
  worker: string | null
}

/** What was taken back from one dead worker. */
export interface Recovered {
  readonly incarnation: string
  readonly rows: RecoveredRow[]
}

/** Takes claims back from one dead worker, none of those to skip. Undefined: there is none, or others are at it. */
export async function recover(
  db: Connection,
  names: Names,
  limit: number,
  maxCrashes: number,
  skip: readonly string[] = [],
): Promise<Recovered | undefined> {
  const { rows } = await db.query<RecoveredRow & { incarnation: string }>(
    `select * from ${names.of("recover_1")}($1, $2, $3::uuid[])`,
    [limit, maxCrashes, plainArray(skip)],
  )
  const last = rows.pop()
  return last && { incarnation: last.incarnation, rows }
}

/** Takes back claims of workers that have no row any more. */
export async function recoverOrphans(db: Connection, names: Names, limit: number): Promise<RecoveredRow[]> {
  const { rows } = await db.query<RecoveredRow>(`select * from ${names.of("recover_orphans_1")}($1)`, [limit])
  return rows
}
