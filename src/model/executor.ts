import type { AnyDefinition, Handler } from "./definition.ts"
import type { Report } from "./outcome.ts"
import type { RunningJob } from "./running-job.ts"

/** A claimed attempt, as an executor gets it. */
export interface Attempt extends RunningJob {
  /** The payload as the handler gets it: upgraded, and put through the schema. */
  readonly payload: unknown
  /** JSON text, as stored. */
  readonly payloadText: string
  readonly handler: Handler | undefined
  readonly definition: AnyDefinition | undefined
}

/**
 * A place where handlers run. The one required function runs a claimed job under its signal and says how it went; it
 * never throws for what a handler does. An executor does not decide states and writes nothing to the database.
 */
export interface Executor {
  /** Jobs that one worker runs at a time unless the queue says otherwise. Default 1. */
  readonly defaultConcurrency?: number
  /** Whether a job whose name has no handler is parked instead of run. Default true. */
  readonly needsHandler?: boolean
  run(attempt: Attempt): Promise<Report> | Report
  /** Runs several jobs of one batch handler; one report each. */
  runBatch?(attempts: readonly Attempt[]): Promise<readonly Report[]>
}
