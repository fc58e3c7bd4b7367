import { failure } from "../../model/errors.ts"
import type { MissedPolicy } from "./due.ts"
import type { Pushable } from "../../model/pushable.ts"
import { describeTiming } from "./describe.ts"
import { parseSchedule, type Declared, type ScheduleOptions } from "./options.ts"

/**
 * Declares a schedule in code, for `cron({ schedules: [ … ] })`.
 *
 * @throws MILLRACE_BAD_SCHEDULE, MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION, MILLRACE_BAD_NAME.
 */
export function defineSchedule<Input, Result>(
  definition: Pushable<Input, Result>,
  payload: NoInfer<Input>,
  options: ScheduleOptions,
): Declared {
  return Object.freeze({ definition, payload, schedule: parseSchedule(options) })
}

/** A schedule as it stands in the database. */
export interface Schedule {
  readonly key: string
  /** Name of the job. */
  readonly job: string
  readonly queue: string
  readonly payload: unknown
  readonly cron: string | undefined
  /** Milliseconds. */
  readonly every: number | undefined
  readonly zone: string
  /** When it runs, in words. */
  readonly description: string
  readonly start: Date | undefined
  readonly end: Date | undefined
  /** Milliseconds. */
  readonly jitter: number
  readonly overlap: "skip" | "allow" | "replace"
  readonly missed: MissedPolicy
  readonly missedLimit: number
  /** Milliseconds. */
  readonly grace: number
  readonly enabled: boolean
  /** Of the code that declares it; undefined: it was made at run time. */
  readonly owner: string | undefined
  /** The last tick that came to a job, and that job. */
  readonly lastAt: Date | undefined
  readonly lastJob: string | undefined
  /** The next tick, before jitter; undefined: never again, or it is paused. */
  readonly nextAt: Date | undefined
  /** Why it cannot run. */
  readonly problem: string | undefined
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** What came of one tick. */
export interface Tick {
  /** When it was due. */
  readonly at: Date
  readonly firedAt: Date
  /** `duplicate`: the job's unique key was taken. `skipped`: the previous run had not finished. */
  readonly outcome: "pushed" | "duplicate" | "skipped" | "missed"
  readonly job: string | undefined
  /** Ticks before it that came to nothing. */
  readonly missed: number
  /** Somebody asked for this run. */
  readonly manual: boolean
  readonly reason: string | undefined
  /** Id of the worker that fired it. */
  readonly worker: string | undefined
}

/** A row of the table, as JSON has it. */
export interface ScheduleRow {
  readonly key: string
  readonly version: number
  readonly job: string
  readonly queue: string
  readonly payload: unknown
  readonly cron: string | null
  readonly every_ms: number | null
  readonly zone: string
  readonly starts_at: string | null
  readonly ends_at: string | null
  readonly jitter_ms: number
  readonly overlap: Schedule["overlap"]
  readonly missed: MissedPolicy
  readonly missed_limit: number
  readonly grace_ms: number
  readonly owner: string | null
  readonly paused_at: string | null
  readonly next_at: string | null
  readonly last_at: string | null
  readonly last_job: string | null
  readonly problem: string | null
  readonly created_at: string
  readonly updated_at: string
}

const date = (text: string | null): Date | undefined => (text === null ? undefined : new Date(text))

export function scheduleOf(row: ScheduleRow): Schedule {
  const [cron, every] = [row.cron ?? undefined, row.every_ms ?? undefined]
  return {
    key: row.key,
    job: row.job,
    queue: row.queue,
    payload: row.payload,
    cron,
    every,
    zone: row.zone,
    description: describeTiming({ cron, every, zone: row.zone }),
    start: date(row.starts_at),
    end: date(row.ends_at),
    jitter: row.jitter_ms,
    overlap: row.overlap,
    missed: row.missed,
    missedLimit: row.missed_limit,
    grace: row.grace_ms,
    enabled: row.paused_at === null,
    owner: row.owner ?? undefined,
    lastAt: date(row.last_at),
    lastJob: row.last_job ?? undefined,
    nextAt: row.paused_at === null ? date(row.next_at) : undefined,
    problem: row.problem ?? undefined,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  }
}

export const unknownSchedule = (key: string) =>
  failure("MILLRACE_UNKNOWN_SCHEDULE", `There is no schedule "${key}". list() returns those that there are.`)
