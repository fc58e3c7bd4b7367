import { backoffDelay, type Backoff } from "../lib/backoff.ts"
import { milliseconds, type Duration } from "../lib/duration.ts"
import { describe } from "../lib/error.ts"
import { errorRecord, failure, type ErrorRecord } from "./errors.ts"
import type { JobState } from "./state.ts"

/**
 * What a handler may return or throw, beside a result or an error, to say how its attempt ends.
 * Made by `snooze`, `retry`, `retryAfter`, `discard` and `cancel`.
 */
export interface Directive {
  readonly [directive]: "snooze" | "retry" | "discard" | "cancel"
  readonly delayMs?: number
  readonly reason?: unknown
}

const directive = Symbol.for("millrace.directive")

/** Run this job again later without using up an attempt. */
export const snooze = (delay: Duration): Directive => ({
  [directive]: "snooze",
  delayMs: milliseconds(delay, "snooze"),
})

/** This attempt failed; run the job again after its backoff, if it has attempts left. */
export const retry = (reason?: unknown): Directive => ({ [directive]: "retry", reason })

/** This attempt failed; run the job again after this delay instead of its backoff, if it has attempts left. */
export const retryAfter = (delay: Duration, reason?: unknown): Directive => ({
  [directive]: "retry",
  delayMs: milliseconds(delay, "retryAfter"),
  reason,
})

/** This job failed for good, whatever attempts it has left. */
export const discard = (reason?: unknown): Directive => ({ [directive]: "discard", reason })

/** This job is not wanted any more: it ends in `cancelled`. */
export const cancel = (reason?: string): Directive => ({ [directive]: "cancel", reason })

export const isDirective = (value: unknown): value is Directive =>
  typeof value === "object" && value !== null && directive in value

/** What an executor reports about one attempt. */
export type Report =
  | {
      readonly ok: true
      readonly value: unknown
      /** The value went through the result's schema already. */
      readonly checked?: boolean
    }
  | {
      readonly ok: false
      readonly error: unknown
      /** Trying again is of no use. */
      readonly final?: boolean
      /** What the definition's `onError` said, where it was asked already, with the error as it was thrown. */
      readonly policy?: Directive | null
    }

/** Why an attempt's signal fired. */
export type StopReason = "cancel" | "timeout" | "shutdown" | "lease"

/** A directive as plain data, to be sent to another thread or process. */
export interface PackedDirective {
  readonly kind: Directive[typeof directive]
  readonly delayMs?: number
}

export const packDirective = ({ [directive]: kind, delayMs }: Directive): PackedDirective =>
  delayMs === undefined ? { kind } : { kind, delayMs }

export const unpackDirective = ({ kind, delayMs }: PackedDirective, reason?: unknown): Directive => ({
  [directive]: kind,
  ...(delayMs !== undefined && { delayMs }),
  ...(reason !== undefined && { reason }),
})

/** What a definition's `onError` is told about the attempt that failed. */
export interface FailedAttempt {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly attempt: number
  readonly maxAttempts: number
  readonly meta: Record<string, unknown>
}

/** What `decide` must know about an attempt. */
export interface AttemptFacts {
  /** Number of this attempt, from 1. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly backoff: Backoff
  /** Set when the attempt's signal fired. */
  readonly stopped?: StopReason | undefined
  /** The definition's own policy: a directive, or nothing for the default. */
  readonly onError?: ((error: unknown) => Directive | undefined | void) | undefined
}

/** How an attempt ends: the state to write and what goes with it. */
export interface Decision {
  readonly state: Exclude<JobState, "running">
  /** Attempts to charge: 1, or 0 when the attempt does not count. */
  readonly charge: 0 | 1
  readonly value?: unknown
  readonly error?: ErrorRecord
  readonly delayMs?: number
}

/**
 * The one place where outcomes are decided; pure.
 *
 * A handler that returns has done its work, whenever its signal fired (a requested cancel still wins, in the database).
 * A handler that throws after its signal fired is judged by why it fired.
 */
export function decide(facts: AttemptFacts, report: Report, random: () => number = Math.random): Decision {
  if (report.ok) {
    return isDirective(report.value)
      ? obey(facts, report.value, random)
      : { state: "succeeded", charge: 1, value: report.value }
  }
  if (isDirective(report.error)) return obey(facts, report.error, random)
  switch (facts.stopped) {
    case "shutdown":
    case "lease":
      return { state: "pending", charge: 0 }
    case "cancel":
      return { state: "cancelled", charge: 1, error: errorRecord(report.error, facts.attempt) }
    default:
      return failed(judging(facts, report), report.error, random)
  }
}

/** The facts as the report would have them judged. */
function judging(facts: AttemptFacts, { final, policy }: Report & { ok: false }): AttemptFacts {
  if (final) return { ...facts, maxAttempts: 0, onError: undefined }
  return policy === undefined ? facts : { ...facts, onError: () => policy ?? undefined }
}

function failed(facts: AttemptFacts, error: unknown, random: () => number): Decision {
  const verdict = policyOf(facts.onError, error)
  return verdict.directive ? obey(facts, verdict.directive, random, verdict.error) : again(facts, verdict.error, random)
}

/** Asks the definition's policy; a policy that throws is reported with the error it was asked about. */
export function policyOf(
  onError: AttemptFacts["onError"],
  error: unknown,
): { readonly directive?: Directive; readonly error: unknown } {
  try {
    const answer = onError?.(error)
    return isDirective(answer) ? { directive: answer, error } : { error }
  } catch (broken) {
    return {
      error: new AggregateError([error, broken], `${describe(error)} (and onError threw: ${describe(broken)})`),
    }
  }
}

function obey(facts: AttemptFacts, told: Directive, random: () => number, thrown?: unknown): Decision {
  const reason = told.reason ?? thrown
  switch (told[directive]) {
    case "snooze":
      return { state: "scheduled", charge: 0, delayMs: told.delayMs ?? 0 }
    case "cancel":
      return {
        state: "cancelled",
        charge: 1,
        error: errorRecord(
          failure("MILLRACE_CANCELLED", reason === undefined ? "cancelled by its handler" : describe(reason)),
          facts.attempt,
        ),
      }
    case "discard":
      return {
        state: "failed",
        charge: 1,
        error: errorRecord(asError(reason, "discarded by its handler"), facts.attempt),
      }
    case "retry":
      return again(facts, asError(reason, "retry asked for by its handler"), random, told.delayMs)
  }
}

function again(facts: AttemptFacts, error: unknown, random: () => number, delayMs?: number): Decision {
  const record = errorRecord(error, facts.attempt)
  if (facts.attempt >= facts.maxAttempts) return { state: "failed", charge: 1, error: record }
  return {
    state: "retrying",
    charge: 1,
    error: record,
    delayMs: delayMs ?? backoffDelay(facts.backoff, facts.attempt, random),
  }
}

const asError = (reason: unknown, otherwise: string): unknown => {
  if (reason === undefined) return new Error(otherwise)
  return typeof reason === "string" ? new Error(reason) : reason
}
