import { get, part, patch, post } from "./http.ts"

export const states = [
  "running",
  "pending",
  "scheduled",
  "retrying",
  "blocked",
  "succeeded",
  "failed",
  "cancelled",
] as const

export type JobState = (typeof states)[number]

export const isFinal = (state: JobState): boolean => ["succeeded", "failed", "cancelled"].includes(state)

export interface JobError {
  at?: string
  attempt: number
  name: string
  message: string
  code?: string
  stack?: string
}

/** One row of a list: of the payload only its beginning. */
export interface JobRow {
  id: string
  name: string
  queue: string
  state: JobState
  priority: number
  attempts: number
  crashes: number
  maxAttempts: number
  worker: string | null
  createdAt: string
  runAt: string
  startedAt: string | null
  finishedAt: string | null
  durationMs: number | null
  progress: unknown
  tags: readonly string[]
  uniqueKey: string | null
  blockedBy: string | null
  cancelRequested: boolean
  error: { name: string; message: string; at: string | null } | null
  payloadPreview: string
}

export interface Job extends JobRow {
  payload: unknown
  result: unknown
  hasResult: boolean
  errors: readonly JobError[]
  claims: number
  expiresAt: string | null
  retention?: { succeeded: number; failed: number }
  meta: Record<string, unknown>
  cancel: { reason?: string; at: string } | null
  /** What an edit names, so that it changes what its author has seen. */
  version: string
}

export interface JobPage {
  jobs: readonly JobRow[]
  cursor: string | null
  /** No index serves this: so many were looked at, back to this moment; the cursor goes on. */
  bounded: { looked: number; reached: string | null } | null
}

export const listJobs = (q: string, cursor?: string, limit = 60): Promise<JobPage> => get("/jobs", { q, cursor, limit })

export interface Count {
  value: number
  capped: boolean
}

export interface Facet {
  value: string
  count: Count
}

export interface Facets {
  total: Count
  state: readonly Facet[]
  queue: readonly Facet[]
  name: readonly Facet[]
}

export async function facets(q: string): Promise<Facets> {
  const { total, state, queue, name } = await get<{
    total: Count
    state: Record<string, Count>
    queue: Record<string, Count>
    name: Record<string, Count>
  }>("/jobs/facets", { q })
  const ranked = (counts: Record<string, Count>): Facet[] =>
    Object.entries(counts)
      .map(([value, count]) => ({ value, count }))
      .sort((one, other) => other.count.value - one.count.value)
  return { total, state: ranked(state), queue: ranked(queue), name: ranked(name) }
}

/** Values of a field, or paths of payloads for `payload` and `meta`. */
export async function suggest(field: string, prefix: string): Promise<string[]> {
  const { values } = await get<{ values: readonly { value: string }[] }>("/jobs/suggest", { field, prefix })
  return values.map(({ value }) => value)
}

export const getJob = (id: string): Promise<Job> => get(`/jobs/${part(id)}`)

export interface Attempt {
  attempt: number
  outcome: string
  startedAt: string | null
  endedAt: string | null
  worker: string | null
  error: Omit<JobError, "attempt"> | null
}

export const attempts = async (id: string): Promise<Attempt[]> =>
  (await get<{ attempts: Attempt[] }>(`/jobs/${part(id)}/attempts`)).attempts

export interface LogLine {
  n: number
  at: string
  attempt: number
  level: "debug" | "info" | "warn" | "error"
  message: string
  fields: Record<string, unknown>
}

export async function logs(id: string, after = 0): Promise<LogLine[]> {
  return (await get<{ lines: LogLine[] }>(`/jobs/${part(id)}/logs`, { after, limit: 1_000 })).lines
}

export interface Reason {
  code: string
  text: string
  action?: string
}

export interface Explanation {
  summary: string
  reasons: readonly Reason[]
}

export async function explain(id: string): Promise<Explanation> {
  const raw = await get<Record<string, unknown>>(`/jobs/${part(id)}/explain`)
  const list = (raw.reasons ?? []) as Record<string, unknown>[]
  return {
    summary: String(raw.text ?? ""),
    reasons: list.map((one) => ({
      code: String(one.code ?? one.kind ?? ""),
      text: String(one.text ?? one.message ?? one.detail ?? ""),
      action: typeof one.action === "string" ? one.action : typeof one.fix === "string" ? one.fix : undefined,
    })),
  }
}

export type JobAction = "retry" | "run-now" | "cancel" | "snooze"

export const act = <T = unknown>(id: string, action: JobAction, body: Record<string, unknown> = {}): Promise<T> =>
  post(`/jobs/${part(id)}/${action}`, body)

export interface JobChanges {
  payload?: unknown
  priority?: number
  runAt?: string
}

/** Changes a waiting job, if it still is as it was seen. */
export const editJob = (id: string, changes: JobChanges, version: string): Promise<unknown> =>
  patch(`/jobs/${part(id)}`, changes, { "if-match": version })

/** Another job like it, with another payload or priority. */
export const cloneJob = (
  id: string,
  payload: unknown,
  options: { priority?: number; queue?: string },
): Promise<{ id: string }> => post(`/jobs/${part(id)}/clone`, { payload, options })

export interface NewJob {
  name: string
  payload: unknown
  options: { queue?: string; priority?: number; runAt?: string; uniqueKey?: string; tags?: readonly string[] }
}

export const pushJob = (job: NewJob): Promise<{ id: string; duplicate?: boolean }> => post("/jobs", job)
