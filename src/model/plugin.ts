import type { Transaction } from "./database.ts"
import type { Report } from "./outcome.ts"
import type { RunningJob } from "./running-job.ts"
import type { JobState } from "./state.ts"

/** The end of an attempt, as hooks see it. */
export interface Ended {
  readonly job: RunningJob
  /** The state that is about to be, or was, written. A cancel that somebody asked for meanwhile may still turn it to `cancelled`. */
  readonly state: JobState
}

/**
 * Hooks around jobs. All are optional, and a worker without them pays nothing for them. A hook that throws is reported
 * and skipped, but for `saving`: there the settlement is rolled back and tried again, never skipped.
 */
export interface Plugin {
  readonly name: string
  /** Wraps each run: `next()` runs the rest and returns its report. */
  around?(job: RunningJob, next: () => Promise<Report>): Promise<Report>
  /** Sees how a run went, and may say otherwise before the outcome is decided. */
  finished?(job: RunningJob, report: Report): Report | void
  /** Takes part in the transaction that settles a job. Settlements it selects travel on a lane of their own. */
  readonly saving?: {
    select(ended: Ended): boolean
    run(batch: readonly Ended[], tx: Transaction): Promise<void>
  }
  /** After the outcome is committed. */
  saved?(batch: readonly Ended[]): void
}
