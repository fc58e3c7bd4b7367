/*
 * What a handler says about its job while it runs. Lines are stored in batches beside the job, bounded per job, and stay
 * as long as its record does.
 */

/** From the least to the most urgent. */
export const logLevels = ["debug", "info", "warn", "error"] as const

export type LogLevel = (typeof logLevels)[number]

/**
 * Writes a line about the job, at level `info`; never waits, never throws. The four levels are methods, so that a job's
 * log can be handed to whatever wants a logger.
 */
export interface JobLog {
  (message: string, fields?: object): void
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

/** One line of a job's log. */
export interface LogLine {
  /** Counts the job's lines from 1, over all its attempts. A gap is lines that were dropped. */
  readonly n: number
  /** By the database's clock. */
  readonly at: Date
  /** Number of the attempt that wrote it, from 1. */
  readonly attempt: number
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A `JobLog` out of one function that takes every line. */
export function jobLog(write: (level: LogLevel, message: string, fields?: object) => void): JobLog {
  const at =
    (level: LogLevel) =>
    (message: string, fields?: object): void =>
      write(level, message, fields)
  return Object.assign(at("info"), { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") })
}
