import { milliseconds, type Duration } from "../lib/duration.ts"
import { cancel, discard, retry, retryAfter, snooze, type Report } from "../model/outcome.ts"

/** What a program said about its job. */
export interface ToldOutcome {
  readonly report: Report
  /** To be merged into the job's. */
  readonly meta: Readonly<Record<string, unknown>>
}

interface Told {
  result?: unknown
  error?: string | { name?: string; message?: string; code?: string }
  snooze?: Duration
  retry?: string
  after?: Duration
  discard?: string
  cancel?: string
  meta?: Record<string, unknown>
}

/** Reads one JSON object with one of: result, error, snooze, retry (and after), discard, cancel; undefined for anything else. */
export function outcomeOf(output: string): ToldOutcome | undefined {
  try {
    const told = JSON.parse(output) as Told | null
    if (typeof told !== "object" || told === null || Array.isArray(told)) return undefined
    const report = reportOf(told)
    return report && { report, meta: typeof told.meta === "object" ? told.meta : {} }
  } catch {
    return undefined
  }
}

function reportOf(told: Told): Report | undefined {
  if (told.error !== undefined) return { ok: false, error: errorOf(told.error) }
  if (told.snooze !== undefined) return { ok: true, value: snooze(told.snooze) }
  if (told.discard !== undefined) return { ok: true, value: discard(String(told.discard)) }
  if (told.cancel !== undefined) return { ok: true, value: cancel(String(told.cancel)) }
  if (told.retry !== undefined || told.after !== undefined) {
    const value =
      told.after === undefined ? retry(told.retry) : retryAfter(milliseconds(told.after, "after"), told.retry)
    return { ok: true, value }
  }
  return "result" in told || "meta" in told ? { ok: true, value: told.result } : undefined
}

function errorOf(told: NonNullable<Told["error"]>): Error {
  if (typeof told === "string") return new Error(told)
  const { name, message = "the program reported an error", code } = told
  return Object.assign(new Error(message), name && { name }, code && { code })
}
