import type { ErrorRecord } from "../model/errors.ts"
import { givenKey, type JobRecord } from "../model/job.ts"
import type { JobState } from "../model/state.ts"
import type { JobRow } from "../postgres/jobs.ts"

/** A key that ends before its job, or outlives it, stands among the options, behind what guards it. */
function uniqueKeyOf({ unique_key: key, options }: JobRow): string | undefined {
  if (key !== null) return givenKey(key)
  return options?.unique && givenKey(options.unique.key.slice(2))
}

/** A row as users see it. */
export const recordOf = (row: JobRow): JobRecord =>
  Object.freeze({
    id: row.id,
    name: row.name,
    queue: row.queue,
    state: row.state as JobState,
    priority: row.priority,
    payload: row.payload,
    result: row.result === null ? undefined : (JSON.parse(row.result) as unknown),
    errors: (row.errors ?? []) as ErrorRecord[],
    attempts: row.attempts,
    crashes: row.crashes,
    maxAttempts: row.max_attempts,
    claims: row.claims,
    worker: row.worker ?? undefined,
    createdAt: row.created_at,
    runAt: row.run_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    expiresAt: row.expires_at ?? undefined,
    retention: { succeeded: row.keep_s, failed: row.keep_failed_s },
    progress: row.progress ?? undefined,
    meta: row.meta ?? {},
    tags: row.tags ?? [],
    uniqueKey: uniqueKeyOf(row),
    limitKey: row.options?.key,
    blockedBy: row.blocked_by ?? undefined,
    cancel: row.cancel === null ? undefined : { reason: row.cancel.reason ?? undefined, at: row.cancel.at },
  })
