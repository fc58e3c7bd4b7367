import type { ErrorRecord } from "../../model/errors.ts"
import type { JobState } from "../../model/state.ts"
import type { FailurePolicy, NodeKind } from "./node.ts"
import type { StepRow, WorkflowRow } from "./store.ts"

/** `failing` and `cancelling`: something still runs. `compensating`: what was done is being undone. */
export type WorkflowState =
  "running" | "paused" | "failing" | "cancelling" | "compensating" | "succeeded" | "failed" | "cancelled"

export const workflowStates: readonly WorkflowState[] = [
  "running",
  "paused",
  "failing",
  "cancelling",
  "compensating",
  "succeeded",
  "failed",
  "cancelled",
]

export type StepState = "waiting" | "active" | "succeeded" | "failed" | "cancelled" | "skipped"

/** One run of a step, as it was before a retry of the workflow. */
export interface StepRun {
  readonly jobId: string | undefined
  readonly state: StepState
  readonly attempts: number
  readonly releasedAt: Date | undefined
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly errors: readonly ErrorRecord[]
}

export interface StepRecord extends StepRun {
  readonly key: string
  readonly kind: NodeKind | "item"
  readonly onFailure: FailurePolicy
  /** Of its job, while it is `active`. */
  readonly jobState: JobState | undefined
  /** Names of the steps that it waits for. */
  readonly needs: readonly string[]
  readonly result: unknown
  /** When its timer fires, or its wait for a signal is over. */
  readonly wakeAt: Date | undefined
  /** Of a map. */
  readonly items: { readonly total: number; readonly ended: number; readonly failed: number } | undefined
  /** Of a map's item: its number. */
  readonly item: number | undefined
  readonly undo:
    { readonly jobId: string | undefined; readonly state: string; readonly errors: readonly ErrorRecord[] } | undefined
  /** Before retries of the workflow, oldest first; the newest 20. */
  readonly runs: readonly StepRun[]
}

export interface WorkflowSummary {
  readonly id: string
  readonly name: string
  readonly state: WorkflowState
  /** Steps in all, and those that have ended, without the items of maps. */
  readonly steps: { readonly total: number; readonly ended: number }
  /** The step that failed it. */
  readonly failure: { readonly step: string | undefined; readonly error: ErrorRecord | undefined } | undefined
  readonly cancel: { readonly reason: string | undefined; readonly at: string } | undefined
  /** After a compensation: whether all of it went well. */
  readonly undone: "all" | "some" | undefined
  readonly retries: number
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly finishedAt: Date | undefined
}

export interface WorkflowRecord<Result = unknown> extends Omit<WorkflowSummary, "steps"> {
  readonly input: unknown
  readonly result: Result | undefined
  readonly progress: { readonly total: number; readonly ended: number }
  readonly steps: readonly StepRecord[]
}

export function summaryOf(row: WorkflowRow): WorkflowSummary {
  return {
    id: row.id,
    name: row.name,
    state: (row.state === "running" && row.paused ? "paused" : row.state) as WorkflowState,
    steps: { total: row.steps, ended: row.steps - row.unfinished },
    failure: row.failure ? { step: row.failure.step, error: row.failure.error ?? undefined } : undefined,
    cancel: row.cancel ? { reason: row.cancel.reason ?? undefined, at: row.cancel.at } : undefined,
    undone: row.undone ?? undefined,
    retries: row.retries,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    finishedAt: row.finished_at ?? undefined,
  }
}

export function workflowOf(row: WorkflowRow, rows: readonly StepRow[]): WorkflowRecord {
  const needs = new Map<string, string[]>()
  for (const { key, children, loose } of rows)
    for (const child of [...children, ...loose]) needs.set(child, [...(needs.get(child) ?? []), key])
  const { steps: progress, ...summary } = summaryOf(row)
  return {
    ...summary,
    input: row.input,
    result: row.result ?? undefined,
    progress,
    steps: rows.map((one) => stepOf(one, needs.get(one.id) ?? [])),
  }
}

export function stepOf(row: StepRow, needs: readonly string[]): StepRecord {
  return {
    key: row.key,
    kind: row.kind as StepRecord["kind"],
    state: row.state as StepState,
    onFailure: row.on_failure as FailurePolicy,
    jobId: row.job_id ?? undefined,
    jobState: (row.job_state as JobState | null) ?? undefined,
    needs,
    attempts: row.attempts,
    releasedAt: row.released_at ?? undefined,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    wakeAt: row.wake_at ?? undefined,
    result: row.state === "succeeded" ? row.result : undefined,
    errors: row.errors ?? [],
    items: itemsOf(row),
    item: row.item >= 0 ? row.item : undefined,
    undo:
      row.undo_state === null
        ? undefined
        : { jobId: row.undo_job ?? undefined, state: row.undo_state, errors: row.undo_errors ?? [] },
    runs: (row.runs ?? []).map(runOf),
  }
}

function itemsOf({ total, remaining, running, bad }: StepRow): StepRecord["items"] {
  return total === null ? undefined : { total, ended: total - (remaining ?? 0) - (running ?? 0), failed: bad ?? 0 }
}

const moment = (given: unknown): Date | undefined => (typeof given === "string" ? new Date(given) : undefined)

function runOf(run: Record<string, unknown>): StepRun {
  return {
    jobId: (run["jobId"] as string | null) ?? undefined,
    state: run["state"] as StepState,
    attempts: run["attempts"] as number,
    releasedAt: moment(run["releasedAt"]),
    startedAt: moment(run["startedAt"]),
    finishedAt: moment(run["finishedAt"]),
    errors: (run["errors"] as ErrorRecord[] | null) ?? [],
  }
}
