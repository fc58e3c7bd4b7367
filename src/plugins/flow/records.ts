import type { ErrorRecord } from "../../model/errors.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import { isUuid } from "../../lib/uuid.ts"
import type { Kind, StoredError } from "./store.ts"

/** How runs and their steps look from outside. */

export const flowStates = ["running", "sleeping", "waiting", "succeeded", "failed", "cancelled"] as const

/** `running`: it runs, or is about to. `sleeping`, `waiting`: without a slot, until a time or for somebody. */
export type FlowState = (typeof flowStates)[number]

export interface FlowSummary {
  /** That of its job. */
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly state: FlowState
  /** Times that its function was started: the first, and once after each wait, crash or retry. */
  readonly executions: number
  /** When it goes on by itself. */
  readonly wakeAt: Date | undefined
  readonly startedAt: Date
  readonly updatedAt: Date
  readonly finishedAt: Date | undefined
  readonly error: ErrorRecord | undefined
}

/** One entry of a run's timeline. */
export interface FlowStepRecord {
  readonly key: string
  readonly kind: Kind
  /** Of the signal or the pushed job. */
  readonly name: string | undefined
  readonly status: "waiting" | "retrying" | "done" | "failed"
  readonly value: unknown
  /** The last one. */
  readonly error: StoredError | undefined
  /** Of the step itself. */
  readonly attempts: number
  /** When the wait is over at the latest. */
  readonly until: Date | undefined
  /** The pushed job. */
  readonly job: string | undefined
  /** When its first attempt, or the wait, began. */
  readonly startedAt: Date
  readonly finishedAt: Date | undefined
}

export interface FlowRecord extends FlowSummary {
  readonly result: unknown
  /** What is stored, in the order in which the code asked for it. */
  readonly steps: readonly FlowStepRecord[]
  /** Those of the steps that it waits for now. */
  readonly waitingFor: readonly FlowStepRecord[]
  /** Signals that nobody has waited for yet. */
  readonly signals: readonly { readonly name: string; readonly payload: unknown; readonly at: Date }[]
}

export interface FlowListOptions {
  readonly state?: FlowState
  readonly name?: string
  /** From an earlier page. */
  readonly cursor?: string
  /** Default 50, at most 1,000. */
  readonly limit?: number
}

export interface FlowPage {
  /** Newest first. */
  readonly flows: readonly FlowSummary[]
  /** For the next page; undefined: this is the last one. */
  readonly cursor: string | undefined
}

interface RunRow {
  id: string
  name: string
  queue: string
  state: FlowState
  executions: number
  wake_at: Date | null
  started_at: Date
  updated_at: Date
  finished_at: Date | null
  error: ErrorRecord | null
  result: string | null
  job_state: string | null
  end_state: FlowState | null
}

/** A run whose job went on or ended without telling is shown as the job is. */
const stateOf = ({ state, finished_at, job_state, end_state }: RunRow): FlowState => {
  if (finished_at) return state
  if (job_state === null) return end_state ?? "cancelled"
  return job_state === "scheduled" || job_state === "blocked" ? state : "running"
}

const summaryOf = (row: RunRow): FlowSummary => ({
  id: row.id,
  name: row.name,
  queue: row.queue,
  state: stateOf(row),
  executions: row.executions,
  wakeAt: row.wake_at ?? undefined,
  startedAt: row.started_at,
  updatedAt: row.updated_at,
  finishedAt: row.finished_at ?? undefined,
  error: row.error ?? undefined,
})

const columns = ({ names }: AppContext, where: string): string =>
  `select r.id, r.name, r.queue, r.state, r.executions, r.wake_at, r.started_at, r.updated_at, r.finished_at, r.error,
     r.result::text as result, (select j.state::text from ${names.of("jobs")} j where j.id = r.id) as job_state,
     (select h.state::text from ${names.of("jobs_history")} h where h.id = r.id and r.finished_at is null) as end_state
   from ${names.of("flow_runs")} r ${where}`

interface StepRow {
  key: string
  kind: Kind
  name: string | null
  status: FlowStepRecord["status"]
  value: string | null
  error: string | null
  attempts: number
  until: Date | null
  child: string | null
  started_at: Date
  finished_at: Date | null
}

const stepOf = (row: StepRow): FlowStepRecord => ({
  key: row.key,
  kind: row.kind,
  name: row.name ?? undefined,
  status: row.status,
  value: row.value === null ? undefined : JSON.parse(row.value),
  error: row.error === null ? undefined : (JSON.parse(row.error) as StoredError),
  attempts: row.attempts,
  until: row.until ?? undefined,
  job: row.child ?? undefined,
  startedAt: row.started_at,
  finishedAt: row.finished_at ?? undefined,
})

/** @throws MILLRACE_BAD_ID. */
export function checkId(id: string): string {
  if (isUuid(id)) return id.toLowerCase()
  throw failure("MILLRACE_BAD_ID", `A flow's id is that of its job, a UUID, not ${JSON.stringify(id) ?? typeof id}.`)
}

export async function getFlow(app: AppContext, given: string): Promise<FlowRecord | undefined> {
  const { db, names } = app
  const id = checkId(given)
  const { rows } = await db.query<RunRow>(columns(app, "where r.id = $1"), [id])
  const row = rows[0]
  if (!row) return undefined
  const steps = await db.query<StepRow>(
    `select key, kind, name, status, value::text as value, error::text as error, attempts, until, child, started_at, finished_at
     from ${names.of("flow_steps")} where run = $1 order by seq`,
    [id],
  )
  const inbox = await db.query<{ name: string; payload: string | null; at: Date }>(
    `select name, payload::text as payload, created_at as at from ${names.of("flow_inbox")}
     where run = $1 and kind = 'signal' and taken_by is null order by id`,
    [id],
  )
  const timeline = steps.rows.map(stepOf)
  const summary = summaryOf(row)
  const waits = summary.state === "sleeping" || summary.state === "waiting"
  return {
    ...summary,
    result: row.result === null ? undefined : JSON.parse(row.result),
    steps: timeline,
    waitingFor: waits ? timeline.filter(({ finishedAt }) => !finishedAt) : [],
    signals: inbox.rows.map(({ name, payload, at }) => ({
      name,
      at,
      payload: payload === null ? undefined : (JSON.parse(payload) as unknown),
    })),
  }
}

/** @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_CURSOR. */
export async function listFlows(app: AppContext, given: FlowListOptions = {}): Promise<FlowPage> {
  const { state, name, cursor, limit = 50, ...rest } = given
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw failure("MILLRACE_UNKNOWN_OPTION", `flows.list: there is no option "${unknown}".`)
  if (state !== undefined && !flowStates.includes(state))
    throw failure("MILLRACE_BAD_OPTION", `flows.list.state: expected one of ${flowStates.join(", ")}.`)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
    throw failure("MILLRACE_BAD_OPTION", "flows.list.limit: expected a whole number from 1 to 1,000.")
  if (cursor !== undefined && !isUuid(cursor))
    throw failure("MILLRACE_BAD_CURSOR", "flows.list.cursor: expected the cursor of an earlier page.")
  const values: unknown[] = []
  const bind = (value: unknown) => `$${values.push(value)}`
  const conditions = [
    ...(state === undefined ? [] : [`r.state = ${bind(state)}`]),
    ...(name === undefined ? [] : [`r.name = ${bind(name)}`]),
    ...(cursor === undefined ? [] : [`r.id < ${bind(cursor)}`]),
  ]
  const where = conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`
  const { rows } = await app.db.query<RunRow>(columns(app, `${where} order by r.id desc limit ${bind(limit)}`), values)
  return { flows: rows.map(summaryOf), cursor: rows.length === limit ? rows.at(-1)!.id : undefined }
}
