import type { Transaction } from "./database.ts"
import type { JobApp } from "./job-app.ts"
import type { JobLog } from "./job-log.ts"
import type { PushOptions } from "./job-options.ts"
import type { Pushable } from "./pushable.ts"

/** A job while it runs, as its handler sees it. */
export interface RunningJob<Result = unknown> {
  readonly id: string
  readonly name: string
  readonly queue: string
  /** Number of this attempt, from 1. */
  readonly attempt: number
  readonly maxAttempts: number
  /** Times that a worker was lost with this job. */
  readonly crashes: number
  /** Grows with each claim of this job and never goes back: hand it to the outside world as a fencing number. */
  readonly claims: number
  /** Fires when the job is cancelled, out of time, when the worker stops or has lost its lease. */
  readonly signal: AbortSignal
  /** Milliseconds until the time limit; undefined without one. */
  readonly remaining: number | undefined
  /** Yours to change: saved when the attempt ends. */
  readonly meta: Record<string, unknown>
  readonly tags: readonly string[]
  /** The app: what it pushes is committed at once, unlike what `push` below pushes. */
  readonly app: JobApp
  /** Tells the world how far the job is; the newest value is stored soon. Any JSON value. */
  progress(value: unknown): void
  /**
   * Writes a line into the job's log: `job.log("resized", { width })`, `job.log.warn("slow disk")`. Stored soon, readable
   * by `app.job(id).logs()` and `follow()` while the job runs and as long as its record is kept. A line holds 8,000
   * characters of message and 8 KiB of fields; a job 10,000 lines or 1 MiB, its first and its newest.
   */
  readonly log: JobLog
  /** Pushes a job in the same transaction that records this job's success: it exists only if this one succeeds. */
  push<Input>(
    definition: Pushable<Input, unknown>,
    payload: NoInfer<Input>,
    options?: Omit<PushOptions, "tx" | "wake">,
  ): Promise<{ readonly id: string }>
  /**
   * Commits what `run` writes together with this job's success, once: its return value is the job's result. When the
   * claim is not valid any more, everything is rolled back and MILLRACE_LEASE_LOST is thrown.
   */
  transaction(run: (tx: Transaction) => Promise<Result> | Result): Promise<Result>
}
