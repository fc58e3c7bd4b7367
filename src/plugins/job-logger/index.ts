import { monotonic } from "../../lib/clock.ts"
import { boolean, list, oneOf, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { guarded, type Level, type Logger } from "../../model/log.ts"
import type { Ended, Plugin } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import type { JobState } from "../../model/state.ts"

/*
 * One line per event of a job, with what belongs to it as fields, for whoever keeps logs. Payloads are left out unless asked
 * for: logs live longer, and are read by more people, than jobs.
 */

const eventNames = ["started", "succeeded", "failed", "retrying", "snoozed", "cancelled", "released", "lost"] as const
export type JobLogEvent = (typeof eventNames)[number]

export const jobLoggerOptions = {
  /** Name on the worker. */
  name: text({ default: "job-logger", doc: "Name on the worker." }),
  /** Where to: pino, LogTape, console, … Default: the app's logger. */
  logger: value<Logger>({
    type: "logger",
    doc: "Where to: pino, LogTape, console, … Default: the app's logger.",
    check: (given) =>
      ["debug", "info", "warn", "error"].every((level) => typeof (given as never)?.[level] === "function")
        ? undefined
        : "must be an object with debug, info, warn and error",
  }),
  /** Level of what is in order. Failures are `error`; what will be tried again, and what was lost with its worker, `warn`. */
  level: oneOf(["debug", "info"], {
    default: "info",
    doc: "Level of what is in order. Failures are `error`; what will be tried again, and what was lost with its worker, `warn`.",
  }),
  /** Which events are written. */
  events: list(oneOf(eventNames, { doc: "An event." }), { default: eventNames, doc: "Which events are written." }),
  /** Whether payloads go along, as `args` of the event `started`. */
  args: boolean({ default: false, doc: "Whether payloads go along, as `args` of the event `started`." }),
}

export type JobLoggerOptions = OptionsInput<typeof jobLoggerOptions>

const levels: Readonly<Partial<Record<JobLogEvent, "warn" | "error">>> = {
  failed: "error",
  retrying: "warn",
  lost: "warn",
}

/** Names of what an attempt led to; `pending` is a claim that was handed back, as at a shutdown. */
const ends: Readonly<Partial<Record<JobState, JobLogEvent>>> = {
  succeeded: "succeeded",
  failed: "failed",
  retrying: "retrying",
  scheduled: "snoozed",
  cancelled: "cancelled",
  pending: "released",
}

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION. */
export function jobLogger(given?: JobLoggerOptions): Plugin {
  const options = parseOptions("jobLogger", jobLoggerOptions, given, { payload: "args", payloads: "args" })
  const { name, level, events, args } = options
  const times = new WeakMap<RunningJob, Times>()
  const lines = new Lines(options.logger)
  const wanted = new Set<JobLogEvent>(events)
  const write = (event: JobLogEvent, fields: () => object) => {
    const at = levels[event] ?? level
    if (wanted.has(event) && lines.takes(at)) lines.write(at, `job ${event}`, { event: `job.${event}`, ...fields() })
  }
  let remove: (() => void) | undefined
  let workers = 0 // of this process; they hear one hub
  return {
    name,
    attach: ({ log }) => lines.open(log),
    onStart(ctx) {
      lines.open(ctx.log)
      workers += 1
      remove ??= ctx.hub.on("job.recovered", ({ body, remote }) => remote || write("lost", () => body))
    },
    onStop() {
      if (--workers > 0) return
      remove?.()
      remove = undefined
    },
    around(job, next) {
      times.set(job, { started: monotonic(), ended: undefined })
      write("started", () => ({ ...about(job), ...(args && { args: (job as { payload?: unknown }).payload }) }))
      return next()
    },
    finished(job) {
      const time = times.get(job)
      if (time) time.ended = monotonic()
    },
    saved(batch) {
      for (const ended of batch) {
        const event = ends[ended.state]
        if (event) write(event, () => ({ ...about(ended.job), ...durationOf(times.get(ended.job)), ...errorOf(ended) }))
      }
    },
  }
}

const about = ({ id, name, queue, attempt, maxAttempts }: RunningJob) => ({ id, name, queue, attempt, maxAttempts })

interface Times {
  readonly started: number
  ended: number | undefined
}

/** How long the handler ran; absent where it never started. */
const durationOf = (times: Times | undefined) =>
  times && { durationMs: Math.round(((times.ended ?? monotonic()) - times.started) * 1_000) / 1_000 }

const errorOf = ({ error }: Ended) =>
  error && {
    error: { name: error.name, message: error.message, ...(error.code !== undefined && { code: error.code }) },
  }

const mostHeld = 1_000

/** Lines, held until it is known where to: a worker of its own may run jobs before its plugins have started. */
class Lines {
  #log: Logger | undefined
  #held: Parameters<Lines["write"]>[] = []

  constructor(logger: Logger | undefined) {
    this.#log = logger && guarded(logger)
  }

  open(log: Logger): void {
    this.#log ??= log
    for (const line of this.#held.splice(0)) this.write(...line)
  }

  /** Whether a line of this level goes anywhere, as far as is known. */
  takes(level: Level): boolean {
    return this.#log?.isLevelEnabled?.(level) !== false
  }

  write(level: Level, message: string, fields: object): void {
    if (this.#log) this.#log[level](message, fields)
    else if (this.#held.length < mostHeld) this.#held.push([level, message, fields])
  }
}
