import type { Connection, Database } from "../../model/database.ts"
import type { ErrorRecord } from "../../model/errors.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { ensurePartitions } from "../../postgres/history.ts"
import { cancelJobs, retentionsInUse } from "../../postgres/jobs.ts"
import { sendNotices } from "../../postgres/notify.ts"
import { plainArray, textArray } from "../../postgres/sql.ts"
import { verdict } from "../../postgres/sqlstate.ts"

/* The statements about workflows, one function each. JSON travels as text. */

export interface WorkflowRow {
  id: string
  name: string
  state: string
  paused: boolean
  steps: number
  unfinished: number
  retries: number
  input: unknown
  result: unknown
  failure: { step?: string; state?: string; error?: ErrorRecord | null } | null
  cancel: { reason: string | null; at: string } | null
  undone: "all" | "some" | null
  created_at: Date
  updated_at: Date
  finished_at: Date | null
}

export interface StepRow {
  id: string
  step: number
  item: number
  key: string
  kind: string
  state: string
  on_failure: string
  job_id: string | null
  job_state: string | null
  undo_job: string | null
  undo_state: string | null
  undo_errors: ErrorRecord[] | null
  waits: number
  attempts: number
  total: number | null
  remaining: number | null
  running: number | null
  bad: number | null
  released_at: Date | null
  started_at: Date | null
  finished_at: Date | null
  wake_at: Date | null
  children: string[]
  loose: string[]
  result: unknown
  errors: ErrorRecord[] | null
  runs: Record<string, unknown>[] | null
}

/** Stores workflows of one plan and releases their first steps; returns the ids that are new. */
export async function start(
  db: Connection,
  names: PluginNames,
  given: {
    readonly ids: readonly string[]
    readonly name: string
    readonly plan: string
    readonly inputs: readonly string[]
  },
): Promise<Set<string>> {
  const { rows } = await db.query<{ made: string[] }>(
    `select ${names.of("workflow_start_1")}($1::uuid[], $2, $3::text::jsonb, $4::text::json) as made`,
    [plainArray(given.ids), given.name, given.plan, `[${given.inputs.join(",")}]`],
  )
  return new Set(rows[0]!.made)
}

const resultOf = (names: PluginNames): string =>
  `case when state = 'succeeded' then ${names.of("workflow_fill_1")}(id, output, input) end`

const columns = (
  names: PluginNames,
  values = `input, ${resultOf(names)} as result`,
): string => `id, name, state, paused, steps, retries, ${values}, failure, cancel, undone,
  created_at, updated_at, finished_at, case when finished_at is null then (
    select count(*)::integer from ${names.of("workflow_steps")} s
    where s.workflow_id = workflows.id and s.item = -1 and s.state in ('waiting', 'active')) else 0 end as unfinished`

export async function findWorkflow(db: Connection, names: PluginNames, id: string): Promise<WorkflowRow | undefined> {
  const { rows } = await db.query<WorkflowRow>(`select ${columns(names)} from ${names.of("workflows")} where id = $1`, [
    id,
  ])
  return rows[0]
}

export interface ListFilter {
  readonly state?: readonly string[] | undefined
  readonly name?: string | undefined
  /** Finished so many milliseconds ago, at least. */
  readonly olderThan?: number | undefined
}

const conditions = `($1::text[] is null or (case when state = 'running' and paused then 'paused' else state end) = any($1::text[]))
  and ($2::text is null or name like $2) and ($3::float8 is null or finished_at < now() - $3::float8 * interval '1 millisecond')`

const valuesOf = ({ state, name, olderThan }: ListFilter): unknown[] => [
  state ? textArray(state) : null,
  name === undefined ? null : name.replaceAll(/[\\%_]/g, (letter) => `\\${letter}`).replaceAll("*", "%"),
  olderThan ?? null,
]

/** Newest first. Inputs and results are left out. */
export async function listWorkflows(
  db: Connection,
  names: PluginNames,
  filter: ListFilter,
  before: string | undefined,
  limit: number,
): Promise<WorkflowRow[]> {
  const { rows } = await db.query<WorkflowRow>(
    `select ${columns(names, "null as input, null as result")} from ${names.of("workflows")}
     where ${conditions} and ($4::uuid is null or id < $4) order by id desc limit $5`,
    [...valuesOf(filter), before ?? null, limit],
  )
  return rows
}

const stepColumns = `s.id::text, s.step, s.item, s.key, s.kind, s.state, s.on_failure, s.job_id, s.undo_job, s.undo_state, s.undo_errors,
  s.waits, s.attempts, s.total, s.remaining, s.running, s.bad, s.released_at, s.started_at, s.finished_at, s.wake_at,
  s.children::text[] as children, s.loose::text[] as loose, s.result, s.errors, s.runs,
  (select j.state::text from jobs_table j where j.id = coalesce(case when s.undo_state = 'active' then s.undo_job end, s.job_id)
    and (s.state = 'active' or s.undo_state = 'active')) as job_state`

/** In the order of their numbers. */
export async function findSteps(db: Connection, names: PluginNames, workflow: string): Promise<StepRow[]> {
  const { rows } = await db.query<StepRow>(
    `select ${stepColumns.replace("jobs_table", names.of("jobs"))} from ${names.of("workflow_steps")} s
     where s.workflow_id = $1 and s.item = -1 order by s.step`,
    [workflow],
  )
  return rows
}

/** Items of a map, from one on. */
export async function findItems(
  db: Connection,
  names: PluginNames,
  workflow: string,
  key: string,
  from: number,
  limit: number,
): Promise<StepRow[]> {
  const { rows } = await db.query<StepRow>(
    `select ${stepColumns.replace("jobs_table", names.of("jobs"))} from ${names.of("workflow_steps")} s
     where s.workflow_id = $1 and s.item >= $3 and s.step = (
       select m.step from ${names.of("workflow_steps")} m where m.workflow_id = $1 and m.item = -1 and m.key = $2)
     order by s.item limit $4`,
    [workflow, key, from, limit],
  )
  return rows
}

type Outcome = "done" | "same" | "unknown" | "finished" | "ending" | "unfinished" | "nothing"

async function call<Answer>(
  db: Connection,
  names: PluginNames,
  name: string,
  types: string,
  values: unknown[],
): Promise<Answer> {
  const { rows } = await db.query<{ answer: Answer }>(`select ${names.of(name)}(${types}) as answer`, values)
  return rows[0]!.answer
}

export const cancelWorkflow = (
  db: Connection,
  names: PluginNames,
  id: string,
  reason: string | null,
  compensate: boolean,
) =>
  call<"cancelled" | "unknown" | "finished" | "ending">(db, names, "workflow_cancel_1", "$1, $2, $3", [
    id,
    reason,
    compensate,
  ])

export const pauseWorkflow = (db: Connection, names: PluginNames, id: string, paused: boolean) =>
  call<Outcome>(db, names, "workflow_pause_1", "$1, $2", [id, paused])

export const retryWorkflow = (
  db: Connection,
  names: PluginNames,
  id: string,
  from: readonly string[],
  input: string | null,
) => call<Outcome>(db, names, "workflow_retry_1", "$1, $2::text[], $3::text::jsonb", [id, textArray(from), input])

export const signalWorkflow = (
  db: Connection,
  names: PluginNames,
  id: string,
  name: string,
  payload: string,
  most: number,
) =>
  call<"taken" | "kept" | "unknown" | "finished" | "full">(
    db,
    names,
    "workflow_signal_1",
    "$1, $2, $3::text::jsonb, $4",
    [id, name, payload, most],
  )

export const graftSteps = (
  db: Connection,
  names: PluginNames,
  given: { job: string; claims: number; base: number; steps: string; before: readonly string[]; most: number },
) =>
  call<"done" | "stale" | "item" | "ending" | "moved" | "large">(
    db,
    names,
    "workflow_graft_1",
    "$1, $2, $3, $4::text::jsonb, $5::text[], $6",
    [given.job, given.claims, given.base, given.steps, textArray(given.before), given.most],
  )

/** The steps of a running job's workflow; `mine`: those that this job's step has added. */
export async function stepsAround(db: Connection, names: PluginNames, job: string) {
  const { rows } = await db.query<{ key: string; step: number; state: string; mine: boolean }>(
    `select s.key, s.step, s.state, coalesce(s.grafted_by = m.id, false) as mine
     from ${names.of("workflow_steps")} m join ${names.of("workflow_steps")} s on s.workflow_id = m.workflow_id
     where m.id = ${names.of("workflow_step_1")}($1) and $1 in (m.job_id, m.undo_job) and s.item = -1 order by s.step`,
    [job],
  )
  return rows
}

/** Ends timers that are due; in how many milliseconds the next one is. */
export async function fire(db: Connection, names: PluginNames, limit: number) {
  const { rows } = await db.query<{ fired: number; next_ms: number | null }>(
    `select * from ${names.of("workflow_fire_1")}($1)`,
    [limit],
  )
  return rows[0]!
}

/** Looks at some workflows behind this one for steps whose jobs were deleted. */
export async function sweep(db: Connection, names: PluginNames, after: string, limit: number) {
  const { rows } = await db.query<{ looked: number; last: string | null; ended: number }>(
    `select * from ${names.of("workflow_gone_1")}($1, $2)`,
    [after, limit],
  )
  return rows[0]!
}

/**
 * Cancels what workflows that go no further still have in the queues: all of it where a workflow is cancelled, what has not
 * started where it fails. In a transaction after the one that stopped the workflow, since jobs are locked before workflows.
 */
export async function stopJobs(db: Database, names: PluginNames, workflow: string | null): Promise<number> {
  const { rows } = await db.query<{ job: string; reason: string | null }>(
    `select s.job_id as job, coalesce(w.cancel ->> 'reason', case w.state when 'failing' then 'the workflow failed' else 'the workflow was cancelled' end) as reason
     from ${names.of("workflows")} w join ${names.of("workflow_steps")} s on s.workflow_id = w.id
       join ${names.of("jobs")} j on j.id = s.job_id
     where w.state in ('cancelling', 'failing') and ($1::uuid is null or w.id = $1) and s.state = 'active'
       and j.cancel is null and (w.state = 'cancelling' or j.token is null)
     order by s.job_id limit 1000`,
    [workflow],
  )
  for (const [reason, some] of byReason(rows)) {
    const ids = some.map((row) => row.job)
    const found = await cancelJobs(db, names, null, ids, reason).catch(async (error: unknown) => {
      if (verdict(error) !== "partition") throw error
      await ensurePartitions(db, names, await retentionsInUse(db, names, ids))
      return cancelJobs(db, names, null, ids, reason)
    })
    const asked = found.filter((row) => row.outcome === "requested")
    const awaited = found.filter((row) => row.awaited)
    await sendNotices(db, names, [
      ...asked.map(({ id }) => ({ kind: "cancel" as const, about: id })),
      ...awaited.map(({ id }) => ({ kind: "done" as const, about: id })),
    ])
  }
  return rows.length
}

function byReason(rows: readonly { job: string; reason: string | null }[]) {
  const found = new Map<string | null, { job: string; reason: string | null }[]>()
  for (const row of rows) found.set(row.reason, [...(found.get(row.reason) ?? []), row])
  return found
}

/** Deletes finished workflows: those whose time is over, or, with a filter, those that it means. Returns how many. */
export async function deleteWorkflows(
  db: Connection,
  names: PluginNames,
  filter: ListFilter | { readonly id: string } | undefined,
  limit: number,
): Promise<number> {
  const [which, values] =
    filter === undefined
      ? ["keep_until < now()", []]
      : "id" in filter
        ? ["id = $1", [filter.id]]
        : [conditions, valuesOf(filter)]
  const { count } = await db.query(
    `with gone as (
       delete from ${names.of("workflows")} where id = any(array(
         select id from ${names.of("workflows")} where finished_at is not null and ${which} order by id limit $${values.length + 1} for update skip locked))
       returning id),
     signals as (delete from ${names.of("workflow_signals")} where workflow_id = any(array(select id from gone))),
     steps as (delete from ${names.of("workflow_steps")} where workflow_id = any(array(select id from gone)))
     select id from gone`,
    [...values, limit],
  )
  return count
}
