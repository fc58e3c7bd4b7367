import type { Refusal } from "../../client/bulk.ts"
import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { plainArray } from "../../postgres/sql.ts"

/** The rows of operations: what was asked for, how far it came, and what jobs were before. */

export interface OperationRow {
  id: string
  action: string
  input: Record<string, unknown>
  undoes: string | null
  created_by: string
  state: "running" | "done" | "stopped" | "failed" | "lost"
  total: number
  total_exact: boolean
  matched: number
  changed: number
  refused: number
  refusals: Refusal[]
  error: string | null
  stop: boolean
  kept: number
  undone_by: string | null
  created_at: Date
  finished_at: Date | null
}

// An operation whose process has gone says nothing any more.
const columns = `id, action, input, undoes, created_by,
  case when state = 'running' and touched_at < now() - interval '60 seconds' then 'lost' else state end as state,
  total, total_exact, matched, changed, refused, refusals, error, stop, kept, undone_by, created_at, finished_at`

export interface NewOperation {
  readonly id: string
  readonly action: string
  readonly input: Readonly<Record<string, unknown>>
  readonly undoes?: string
  readonly createdBy: string
  readonly total: { readonly value: number; readonly capped: boolean }
}

export async function insertOperation(db: Connection, names: PluginNames, one: NewOperation): Promise<OperationRow> {
  const { rows } = await db.query<OperationRow>(
    `insert into ${names.of("web_operations")} (id, action, input, undoes, created_by, total, total_exact)
     values ($1, $2, $3::text::jsonb, $4, $5, $6, $7) returning ${columns}`,
    [
      one.id,
      one.action,
      JSON.stringify(one.input),
      one.undoes ?? null,
      one.createdBy,
      one.total.value,
      !one.total.capped,
    ],
  )
  return rows[0]!
}

export async function readOperation(db: Connection, names: PluginNames, id: string): Promise<OperationRow | undefined> {
  const { rows } = await db.query<OperationRow>(`select ${columns} from ${names.of("web_operations")} where id = $1`, [
    id,
  ])
  return rows[0]
}

export async function listOperations(
  db: Connection,
  names: PluginNames,
  by: string | undefined,
  limit: number,
): Promise<OperationRow[]> {
  const { rows } = await db.query<OperationRow>(
    `select ${columns} from ${names.of("web_operations")} where $1::text is null or created_by = $1 order by id desc limit $2`,
    [by ?? null, limit],
  )
  return rows
}

export interface Progress {
  readonly matched: number
  readonly changed: number
  readonly refused: number
  readonly kept: number
  readonly refusals: readonly Refusal[]
}

/** Tells how far it came. @returns whether somebody wants it to stop. */
export async function touchOperation(
  db: Connection,
  names: PluginNames,
  id: string,
  progress: Progress,
): Promise<boolean> {
  const { rows } = await db.query<{ stop: boolean }>(
    `update ${names.of("web_operations")} set matched = $2, changed = $3, refused = $4, kept = $5,
       refusals = $6::text::jsonb, touched_at = now() where id = $1 returning stop`,
    [id, progress.matched, progress.changed, progress.refused, progress.kept, JSON.stringify(progress.refusals)],
  )
  return rows[0]?.stop !== false
}

export async function endOperation(
  db: Connection,
  names: PluginNames,
  id: string,
  state: "done" | "stopped" | "failed",
  error: string | undefined,
): Promise<void> {
  await db.query(
    `update ${names.of("web_operations")} set state = $2, error = $3, finished_at = now(), touched_at = now() where id = $1`,
    [id, state, error ?? null],
  )
}

export async function stopOperation(db: Connection, names: PluginNames, id: string): Promise<void> {
  await db.query(`update ${names.of("web_operations")} set stop = true where id = $1 and state = 'running'`, [id])
}

/** Takes an operation for being undone, once. */
export async function claimUndo(db: Connection, names: PluginNames, id: string, undo: string): Promise<boolean> {
  const { count } = await db.query(
    `update ${names.of("web_operations")} set undone_by = $2 where id = $1 and undone_by is null`,
    [id, undo],
  )
  return count > 0
}

/** Keeps jobs as they are now, for an undo. Those that run cannot be changed, so they are left out. */
export async function keepRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<number> {
  const { count } = await db.query(
    `insert into ${names.of("web_kept")} (operation, job, source, row)
     select $1::uuid, j.id, 'jobs', to_jsonb(j) from ${names.of("jobs")} j where j.id = any($2::uuid[]) and j.token is null
     union all
     select $1::uuid, h.id, 'jobs_history', to_jsonb(h) from ${names.of("jobs_history")} h where h.id = any($2::uuid[])
     on conflict do nothing`,
    [operation, plainArray(ids)],
  )
  return count
}

export async function forgetRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<number> {
  if (ids.length === 0) return 0
  const { count } = await db.query(
    `delete from ${names.of("web_kept")} where operation = $1 and job = any($2::uuid[])`,
    [operation, plainArray(ids)],
  )
  return count
}

export interface KeptRow {
  job: string
  source: "jobs" | "jobs_history"
  row: Record<string, unknown>
}

/** What was kept, in the order of ids. */
export async function keptRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  after: string,
  limit: number,
): Promise<KeptRow[]> {
  const { rows } = await db.query<KeptRow>(
    `select job, source, row from ${names.of("web_kept")} where operation = $1 and job > $2 order by job limit $3`,
    [operation, after, limit],
  )
  return rows
}

/** Puts deleted jobs back where they were, as they were, as long as they would be kept. @returns the ids that are back. */
export async function restoreRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<{ id: string; queue: string }[]> {
  const back = async (table: "jobs" | "jobs_history", where: string) => {
    const { rows } = await db.query<{ id: string; queue: string }>(
      `insert into ${names.of(table)}
       select r.* from ${names.of("web_kept")} k, jsonb_populate_record(null::${names.of(table)}, k.row) r
       where k.operation = $1 and k.source = '${table}' and k.job = any($2::uuid[]) and ${where}
         and not exists (select 1 from ${names.of("jobs")} j where j.id = k.job)
         and not exists (select 1 from ${names.of("jobs_history")} h where h.id = k.job)
       order by k.job on conflict do nothing returning id, queue`,
      [operation, plainArray(ids)],
    )
    return rows
  }
  return [...(await back("jobs", "true")), ...(await back("jobs_history", "r.keep_until > now()"))]
}

/** Moves waiting jobs to another queue. A key that counts per queue goes along, unless it is taken there. @returns those that were moved. */
export async function moveJobs(
  db: Connection,
  names: PluginNames,
  ids: readonly string[],
  queue: string,
): Promise<{ id: string; from: string }[]> {
  const jobs = names.of("jobs")
  const key = `case when l.unique_key like 'q|%' then 'q|' || $2 || substr(l.unique_key, strpos(substr(l.unique_key, 3), '|') + 2) else l.unique_key end`
  const { rows } = await db.query<{ id: string; from: string }>(
    `with held as materialized (
       select l.id, l.queue, ${key} as key, l.unique_key as old from ${jobs} l
       where l.id = any($1::uuid[]) and l.token is null and l.queue <> $2 order by l.id for update),
     movable as (
       select h.* from held h where h.key is not distinct from h.old
         or not exists (select 1 from ${jobs} o where o.unique_key = h.key))
     update ${jobs} j set queue = $2, unique_key = m.key, ready_at = now() from movable m
     where j.id = m.id returning j.id, m.queue as from`,
    [plainArray(ids), queue],
  )
  return rows
}
