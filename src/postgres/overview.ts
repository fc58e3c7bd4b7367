import type { Connection } from "../model/database.ts"
import { finalStates, type JobState } from "../model/state.ts"
import { readDepth } from "./metrics.ts"
import type { Names } from "./sql.ts"

/** The statements behind lists of workers and numbers of jobs. None reads a table in proportion to its size. */

export interface WorkerListRow {
  id: string
  incarnation: string
  hostname: string
  pid: number
  tags: string[]
  queues: string[]
  handlers: string[]
  started_at: Date
  seen_at: Date
  expires_at: Date
  alive: boolean
  running: number
  leader: boolean
}

/** Workers by id, those whose lease is over included until somebody has taken their claims back. */
export async function listWorkers(db: Connection, names: Names): Promise<WorkerListRow[]> {
  const { rows } = await db.query<WorkerListRow>(
    `with running as (
       select worker, count(*)::integer as count from ${names.of("jobs")} where state = 'running' group by worker)
     select w.id, w.incarnation, w.hostname, w.pid, w.tags, w.queues, w.handlers, w.started_at, w.seen_at,
       case when isfinite(w.expires_at) then w.expires_at else w.seen_at end as expires_at, w.expires_at > now() as alive,
       coalesce(r.count, 0) as running,
       exists (select 1 from ${names.of("leader")} l where l.worker = w.id and l.expires_at > now()) as leader
     from ${names.of("workers")} w left join running r on r.worker = w.incarnation order by w.id`,
  )
  return rows
}

export interface CountRow {
  /** Null: finished jobs, of all queues. */
  queue: string | null
  state: JobState
  count: number
  /** False: there are more. */
  exact: boolean
  /** Of ready jobs: seconds that the oldest has been ready for. */
  oldest: number | null
}

/** So many are counted one by one. */
export const countedUpTo = 10_000

/**
 * Numbers of jobs by queue and state. Each index is read until `countedUpTo`, per queue where it begins with the queue;
 * of those that hold more, the numbers are what was seen so far.
 */
export async function countJobs(db: Connection, names: Names, queues: readonly string[]): Promise<CountRow[]> {
  const unfinished: readonly CountRow[] = await readDepth(db, names, queues, countedUpTo)
  return [...unfinished.filter(({ count }) => count > 0), ...(await countFinished(db, names))]
}

async function countFinished(db: Connection, names: Names): Promise<CountRow[]> {
  const seen = finalStates.map(
    (state) => `select '${state}' as state, count(*)::integer as count from (
       select from ${names.of("jobs_history")} h where h.state = '${state}' limit $1 + 1) s`,
  )
  const { rows } = await db.query<CountRow>(
    `select null as queue, state, count, count <= $1 as exact, null as oldest from (${seen.join(" union all ")}) s where count > 0`,
    [countedUpTo],
  )
  return rows
}

/** What the statistics say about a number of jobs. */
export async function estimateJobs(
  db: Connection,
  names: Names,
  queue: string | null,
  state: JobState,
): Promise<number> {
  const table = names.of(queue === null ? "jobs_history" : "jobs")
  const { rows } = await db.query<{ "QUERY PLAN": [{ Plan: { "Plan Rows": number } }] }>(
    `explain (format json) select 1 from ${table} where state = $1::${names.of("job_state")} and ($2::text is null or queue = $2)`,
    [state, queue],
  )
  return rows[0]!["QUERY PLAN"][0].Plan["Plan Rows"]
}
