import { get, part, post } from "./http.ts"
import type { JobError, JobState } from "./jobs.ts"

export type WorkflowState =
  "running" | "paused" | "failing" | "cancelling" | "compensating" | "succeeded" | "failed" | "cancelled"

export type StepState = "waiting" | "active" | "succeeded" | "failed" | "cancelled" | "skipped"

export interface WorkflowSummary {
  id: string
  name: string
  state: WorkflowState
  /** Without the items of maps. */
  steps: { total: number; ended: number }
  failure?: { step?: string; error?: JobError }
  cancel?: { reason?: string; at: string }
  retries: number
  createdAt: string
  updatedAt: string
  finishedAt?: string
}

export interface Step {
  key: string
  kind: string
  state: StepState
  jobId?: string
  jobState?: JobState
  needs: readonly string[]
  attempts: number
  releasedAt?: string
  startedAt?: string
  finishedAt?: string
  wakeAt?: string
  errors: readonly JobError[]
  items?: { total: number; ended: number; failed: number }
  item?: number
  result?: unknown
}

export interface Workflow extends Omit<WorkflowSummary, "steps"> {
  input: unknown
  result?: unknown
  progress: { total: number; ended: number }
  steps: readonly Step[]
}

const base = "/plugins/workflow/workflows"

export const listWorkflows = (
  state: string,
  cursor?: string,
): Promise<{ workflows: readonly WorkflowSummary[]; cursor?: string }> => get(base, { state, cursor, limit: 100 })
export const getWorkflow = (id: string): Promise<Workflow> => get(`${base}/${part(id)}`)

export type WorkflowAction = "cancel" | "pause" | "resume" | "retry"

export const actOnWorkflow = (
  id: string,
  action: WorkflowAction,
  body: Readonly<Record<string, unknown>> = {},
): Promise<unknown> => post(`${base}/${part(id)}/${action}`, body)
