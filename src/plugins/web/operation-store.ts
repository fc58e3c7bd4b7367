import type { Refusal } from "../../client/bulk.ts"
import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"

/** The rows of operations: what was asked for, and how far it came. */

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
