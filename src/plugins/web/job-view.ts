import { createHash } from "node:crypto"
import type { JobRecord } from "../../model/job.ts"

/** Jobs as the API shows them. Redacted before they come here. */

/** One row of a list: no payload, but the beginning of one. */
export function jobRow(job: JobRecord) {
  const last = job.errors.at(-1)
  return {
    id: job.id,
    name: job.name,
    queue: job.queue,
    state: job.state,
    priority: job.priority,
    attempts: job.attempts,
    crashes: job.crashes,
    maxAttempts: job.maxAttempts,
    worker: job.worker ?? null,
    createdAt: job.createdAt,
    runAt: job.runAt,
    startedAt: job.startedAt ?? null,
    finishedAt: job.finishedAt ?? null,
    durationMs: durationOf(job),
    progress: job.progress ?? null,
    tags: job.tags,
    uniqueKey: job.uniqueKey ?? null,
    blockedBy: job.blockedBy ?? null,
    cancelRequested: job.cancel !== undefined,
    error: last ? { name: last.name, message: clip(last.message, 300), at: last.at ?? null } : null,
    payloadPreview: clip(JSON.stringify(job.payload ?? null), 200),
  }
}

/** Everything about one. */
export function jobDetail(job: JobRecord) {
  const { payload, meta, errors, claims, expiresAt, retention, cancel } = job
  return {
    ...jobRow(job),
    payload: payload ?? null,
    meta,
    result: job.result ?? null,
    hasResult: job.result !== undefined,
    errors,
    claims,
    expiresAt: expiresAt ?? null,
    retention,
    cancel: cancel ?? null,
    version: versionOf(job),
  }
}

/** Each attempt that is known of: those that failed, and the latest. */
export function attemptsOf(job: JobRecord) {
  const failed = job.errors.map(({ attempt, at, ...error }) => ({
    attempt,
    outcome: "failed",
    startedAt: null as Date | null,
    endedAt: at ?? null,
    worker: null as string | null,
    error,
  }))
  const { state, startedAt, finishedAt } = job
  if (state !== "running" && state !== "succeeded" && state !== "cancelled") return withLatest(failed, job)
  const latest = {
    attempt: job.attempts + (state === "running" ? 1 : 0),
    outcome: state as string,
    startedAt: startedAt ?? null,
    endedAt: finishedAt?.toISOString() ?? null,
    worker: job.worker ?? null,
    error: null,
  }
  return startedAt ? [...failed.filter(({ attempt }) => attempt !== latest.attempt), latest] : failed
}

/** Start and worker are kept of the latest only. */
function withLatest<One extends { startedAt: Date | null; worker: string | null }>(all: One[], job: JobRecord): One[] {
  const last = all.at(-1)
  if (!last || job.state !== "failed") return all
  return [...all.slice(0, -1), { ...last, startedAt: job.startedAt ?? null, worker: job.worker ?? null }]
}

function durationOf({ startedAt, finishedAt }: JobRecord): number | null {
  return startedAt && finishedAt ? Math.max(0, finishedAt.getTime() - startedAt.getTime()) : null
}

/** What an edit must name, to change what its author has seen: an entity tag. */
export function versionOf({ state, payload, priority, runAt, claims, attempts }: JobRecord): string {
  const seen = JSON.stringify([state, payload, priority, runAt, claims, attempts])
  return `"${createHash("sha256").update(seen).digest("base64url").slice(0, 16)}"`
}

const clip = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length)}…`)
