import type { ErrorRecord } from "./errors.ts"
import type { JobState } from "./state.ts"

/** Everything that is known about a job, finished or not. Times are the database's. */
export interface JobRecord<Payload = unknown, Result = unknown> {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly state: JobState
  readonly priority: number
  readonly payload: Payload
  /** What the handler returned; only in state `succeeded`. */
  readonly result: Result | undefined
  /** Oldest first. Of more than 20, the first and the newest 19 are kept. */
  readonly errors: readonly ErrorRecord[]
  /** Attempts that count against `maxAttempts`. */
  readonly attempts: number
  /** Times that a worker was lost with this job. */
  readonly crashes: number
  readonly maxAttempts: number
  /** Grows with each claim and never goes back: a fencing number for the outside world. */
  readonly claims: number
  /** Id of the worker that holds it, or that finished it. */
  readonly worker: string | undefined
  readonly createdAt: Date
  readonly runAt: Date
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly expiresAt: Date | undefined
  /** Seconds that it is kept after finishing; 0 none, -1 for ever. */
  readonly retention: { readonly succeeded: number; readonly failed: number }
  readonly progress: unknown
  readonly meta: Readonly<Record<string, unknown>>
  readonly tags: readonly string[]
  /** As given at the push, without its scope. */
  readonly uniqueKey: string | undefined
  /** What the limits per key of its queue go by. */
  readonly limitKey: string | undefined
  /** Why it is in state `blocked`: `handler` when no worker has one. */
  readonly blockedBy: string | undefined
  /** Set when somebody asked for the job to be cancelled. */
  readonly cancel: { readonly reason: string | undefined; readonly at: string } | undefined
}

/** A job about to be inserted. What jobs of one batch have in common (the kind) is sent once per batch. */
export interface NewJob {
  readonly id: string
  readonly queue: string
  readonly name: string
  /** JSON object text of everything but id and payload. */
  readonly kind: string
  /** JSON text. */
  readonly payload: string
  /** What its push is told apart by, with the scope folded in: keys are inserted in the order of this. */
  readonly uniqueKey: string | undefined
  /** Its key ends before the job, or outlives it, or changes the job that holds it. */
  readonly special?: boolean
  /** It will not be ready at once. */
  readonly later: boolean
}

export type UniqueScope = "global" | "queue" | "name"

/**
 * The scope of a unique key is part of the stored key, so that one index serves all. "|" is in no queue or job name, so
 * two scopes never meet.
 */
export function storedKey(key: string, scope: UniqueScope, queue: string, name: string): string {
  if (scope === "global") return `g|${key}`
  return scope === "queue" ? `q|${queue}|${key}` : `n|${name}|${key}`
}

export function givenKey(stored: string): string {
  const parts = stored.split("|")
  return parts.slice(parts[0] === "g" ? 1 : 2).join("|")
}
