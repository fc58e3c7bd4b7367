import type { Connection } from "../model/database.ts"
import { limitsRecord, storedLimits, type StoredLimits } from "../model/limits.ts"
import type { ParsedQueue, QueueRecord } from "../model/queue.ts"
import { textArray, type Names } from "./sql.ts"

interface QueueRow {
  name: string
  concurrency: number | null
  executor: string
  executor_options: Record<string, unknown>
  timeout_ms: number | null
  memory_limit: number | null
  tags: string[]
  claim_ahead: number | null
  poll_ms: number
  limits: StoredLimits | null
  paused: boolean
  pause_reason: string | null
  resume_at: Date | null
  revision: number
  created_at: Date
}

const columns = `name, concurrency, executor, executor_options, timeout_ms, memory_limit::float8 as memory_limit, tags, claim_ahead, poll_ms, limits, pause_reason, resume_at, revision, created_at,
  paused_at is not null and (resume_at is null or resume_at > now()) as paused`

const record = (row: QueueRow): QueueRecord => ({
  name: row.name,
  concurrency: row.concurrency ?? undefined,
  executor: row.executor,
  executorOptions: row.executor_options,
  timeout: row.timeout_ms ?? undefined,
  memoryLimit: row.memory_limit ?? undefined,
  tags: row.tags,
  claimAhead: row.claim_ahead ?? undefined,
  pollInterval: row.poll_ms,
  ...limitsRecord(row.limits),
  paused: row.paused,
  pauseReason: row.paused ? (row.pause_reason ?? undefined) : undefined,
  resumeAt: row.paused ? (row.resume_at ?? undefined) : undefined,
  revision: row.revision,
  createdAt: row.created_at,
})

/** Inserts a queue; one that exists stays as it is, or with `upsert` takes the new options. Returns it as stored. */
export async function declareQueue(
  db: Connection,
  names: Names,
  queue: ParsedQueue,
  upsert: boolean,
): Promise<QueueRecord> {
  const limits = storedLimits(queue)
  // Keys that wait for a limit which has changed are worth another look.
  await db.query(
    `with stored as (
     insert into ${names.of("queues")} as q (name, concurrency, executor, executor_options, tags, claim_ahead, poll_ms,
       timeout_ms, memory_limit, limits)
     values ($1, $2, $3, $4::text::jsonb, $5::text[], $6, $7, $9, $10, $11::text::jsonb)
     on conflict (name) do update set concurrency = excluded.concurrency, executor = excluded.executor,
       executor_options = excluded.executor_options, tags = excluded.tags, claim_ahead = excluded.claim_ahead,
       poll_ms = excluded.poll_ms, timeout_ms = excluded.timeout_ms, memory_limit = excluded.memory_limit, limits = excluded.limits, revision = q.revision + 1, updated_at = now()
     where $8 returning limits)
     update ${names.of("limit_keys")} k set ready = true, free_at = null,
       stopped_by = case when s.limits ->> 'ordered' = 'stop' then k.stopped_by end
     from stored s where k.queue = $1 and k.key = any(array(
       select l.key from ${names.of("limit_keys")} l where l.queue = $1 order by l.key for update))`,
    [
      queue.name,
      queue.concurrency ?? null,
      queue.executor,
      JSON.stringify(queue.executorOptions),
      textArray(queue.tags),
      queue.claimAhead ?? null,
      queue.pollInterval,
      upsert,
      queue.timeout ?? null,
      queue.memoryLimit ?? null,
      limits && JSON.stringify(limits),
    ],
  )
  return (await findQueue(db, names, queue.name))!
}

export async function findQueue(db: Connection, names: Names, name: string): Promise<QueueRecord | undefined> {
  const { rows } = await db.query<QueueRow>(`select ${columns} from ${names.of("queues")} where name = $1`, [name])
  return rows[0] && record(rows[0])
}

export async function listQueues(db: Connection, names: Names): Promise<QueueRecord[]> {
  const { rows } = await db.query<QueueRow>(`select ${columns} from ${names.of("queues")} order by name`)
  return rows.map(record)
}

/** Pauses from now on, for ever or until a time of the database's clock. False: there is no such queue. */
export async function pauseQueue(
  db: Connection,
  names: Names,
  name: string,
  until: { at?: string; inMs?: number } | undefined,
) {
  const { count } = await db.query(
    `update ${names.of("queues")} set paused_at = now(), pause_reason = null, revision = revision + 1, updated_at = now(),
       resume_at = coalesce($2::timestamptz, now() + $3::float8 * interval '1 millisecond')
     where name = $1`,
    [name, until?.at ?? null, until?.inMs ?? null],
  )
  return count > 0
}

export async function resumeQueue(db: Connection, names: Names, name: string): Promise<boolean> {
  const { count } = await db.query(
    `update ${names.of("queues")} set paused_at = null, resume_at = null, pause_reason = null, revision = revision + 1, updated_at = now() where name = $1`,
    [name],
  )
  return count > 0
}

/** Deletes a queue's row. Its jobs stay where they are, unless `jobs`: then all that no worker holds go as well. */
export async function deleteQueue(db: Connection, names: Names, name: string, jobs: boolean) {
  const { count } = await db.query(`delete from ${names.of("queues")} where name = $1`, [name])
  let deleted = 0
  if (count > 0 && jobs) {
    for (;;) {
      const { count: some } = await db.query(
        `delete from ${names.of("jobs")} where queue = $1 and id = any(array(
           select id from ${names.of("jobs")} where queue = $1 and state <> 'running' order by id limit 1000 for update skip locked))`,
        [name],
      )
      deleted += some
      if (some === 0) break
    }
  }
  return { found: count > 0, deleted }
}

/** Queues that have ready jobs but no row, found by stepping from queue to queue through the ready index. */
export async function undeclaredQueues(db: Connection, names: Names): Promise<string[]> {
  const { rows } = await db.query<{ queue: string }>(
    `with recursive step as (
       (select queue from ${names.of("jobs")} where state = 'pending' and crashes < 2 and (options ->> 'key') is null order by queue limit 1)
       union all
       select (select j.queue from ${names.of("jobs")} j where j.state = 'pending' and j.crashes < 2 and (j.options ->> 'key') is null and j.queue > s.queue order by j.queue limit 1)
       from step s where s.queue is not null),
     keyed as (
       (select queue from ${names.of("jobs")} where state = 'pending' and (options ->> 'key') is not null order by queue limit 1)
       union all
       select (select j.queue from ${names.of("jobs")} j where j.state = 'pending' and (j.options ->> 'key') is not null and j.queue > s.queue order by j.queue limit 1)
       from keyed s where s.queue is not null)
     select s.queue from (select queue from step union select queue from keyed) s
     where s.queue is not null and not exists (select 1 from ${names.of("queues")} q where q.name = s.queue)
     limit 100`,
  )
  return rows.map((row) => row.queue)
}
