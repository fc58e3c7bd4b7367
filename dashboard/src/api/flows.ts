import { get, part, post } from "./http.ts"
import type { JobError } from "./jobs.ts"

export interface FlowSummary {
  /** That of its job. */
  id: string
  name: string
  queue: string
  state: "running" | "sleeping" | "waiting" | "succeeded" | "failed" | "cancelled"
  executions: number
  wakeAt?: string
  startedAt: string
  updatedAt: string
  finishedAt?: string
  error?: JobError
}

export interface FlowStep {
  key: string
  kind: string
  name?: string
  status: "waiting" | "retrying" | "done" | "failed"
  value?: unknown
  error?: { name?: string; message?: string }
  attempts: number
  until?: string
  job?: string
  startedAt: string
  finishedAt?: string
}

export interface Flow extends FlowSummary {
  result?: unknown
  steps: readonly FlowStep[]
  waitingFor: readonly FlowStep[]
  signals: readonly { name: string; payload: unknown; at: string }[]
}

const base = "/plugins/flow/flows"

export const listFlows = (
  state: string,
  cursor?: string,
): Promise<{ flows: readonly FlowSummary[]; cursor?: string }> => get(base, { state, cursor, limit: 100 })
export const getFlow = (id: string): Promise<Flow> => get(`${base}/${part(id)}`)
export const cancelFlow = (id: string): Promise<unknown> => post(`${base}/${part(id)}/cancel`)
export const resumeFlow = (id: string, from?: string): Promise<unknown> =>
  post(`${base}/${part(id)}/resume`, from === undefined ? {} : { from })
export const signalFlow = (id: string, name: string, payload: unknown): Promise<unknown> =>
  post(`${base}/${part(id)}/signal/${part(name)}`, payload)
