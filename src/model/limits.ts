import {
  boolean,
  duration,
  integer,
  oneOf,
  parseOptions,
  value,
  type OptionsInput,
  type OptionsSpec,
  type OptionSpec,
  type OptionsOutput,
} from "../lib/options.ts"
import { failure } from "./errors.ts"

/*
 * What a queue may be limited by, over the whole cluster. The limits stand in the queue's row and are read by each claim,
 * so a change binds from the next claim on.
 */

/** Options inside an option; undefined where it is left out. */
const nested = <S extends OptionsSpec>(
  spec: S,
  doc: string,
  hints?: Readonly<Record<string, string>>,
): OptionSpec<OptionsInput<S>, OptionsOutput<S> | undefined> =>
  Object.freeze({
    type: "object",
    doc,
    parse: (given: OptionsInput<S>, where: string) => parseOptions(where, spec, given, hints),
  })

const rateOptions = {
  /** Jobs (or their weights) that may start in one window. */
  limit: integer({
    required: true,
    min: 1,
    max: 1_000_000_000,
    doc: "Jobs, or their weights, that may start in one window.",
  }),
  /** The window. */
  per: duration({ required: true, min: 1, max: 366 * 86_400_000, doc: "The window." }),
  /** Makes it a token bucket that holds so many and fills evenly. Default: a fixed window, opened by the first job. */
  burst: integer({
    min: 1,
    max: 1_000_000_000,
    doc: "Makes it a token bucket that holds so many and fills evenly. Default: a fixed window, opened by the first job.",
  }),
}

const rateHints = { window: "per", rate_limit_window: "per", max: "limit", allowed: "limit", count: "limit" }

const isRatio = (given: unknown): string | undefined =>
  typeof given === "number" && given > 0 && given <= 1 ? undefined : "must be a number above 0, at most 1"

const breakerOptions = {
  /** Share of failed attempts at which the queue is paused: above 0, at most 1. */
  failureRatio: value<number>({
    type: "number",
    default: 0.5,
    doc: "Share of failed attempts at which the queue is paused: above 0, at most 1.",
    check: isRatio,
  }),
  /** Attempts in the window below which nothing is concluded. */
  minimum: integer({
    default: 20,
    min: 1,
    max: 1_000_000,
    doc: "Attempts in the window below which nothing is concluded.",
  }),
  /** How far back it looks. */
  window: duration({ default: "1m", min: 1_000, max: 86_400_000, doc: "How far back it looks." }),
  /** How long the queue is paused; it resumes by itself. */
  pause: duration({ default: "1m", min: 1_000, max: 7 * 86_400_000, doc: "How long the queue is paused." }),
}

/** The limits among a queue's options. */
export const limitOptions = {
  /** Jobs of the queue that run at a time, over all workers. */
  globalConcurrency: integer({
    min: 1,
    max: 1_000_000,
    doc: "Jobs of the queue that run at a time, over all workers.",
  }),
  /** Jobs of the queue that may start in a time, over all workers: `{ limit: 100, per: "1m" }`, with `burst` a token bucket. */
  rateLimit: nested(
    rateOptions,
    'Jobs of the queue that may start in a time, over all workers: `{ limit: 100, per: "1m" }`, with `burst` a token bucket.',
    rateHints,
  ),
  /** Jobs of one `limitKey` that run at a time, over all workers. */
  keyConcurrency: integer({
    min: 1,
    max: 1_000_000,
    doc: "Jobs of one `limitKey` that run at a time, over all workers.",
  }),
  /** Jobs of one `limitKey` that may start in a time, over all workers. */
  keyRateLimit: nested(rateOptions, "Jobs of one `limitKey` that may start in a time, over all workers.", rateHints),
  /** The keys take turns, job by job, among those of the same priority. */
  fair: boolean({ default: false, doc: "The keys take turns, job by job, among those of the same priority." }),
  /** One job of a key at a time, in the order of their pushes; what a failed one does: `retry`, `skip` or `stop`. */
  ordered: oneOf(["retry", "skip", "stop"], {
    doc:
      "One job of a key at a time, in the order of their pushes. While a failed one waits for its next attempt, `retry` and " +
      "`stop` hold its key, `skip` goes on; after its last attempt `stop` holds the key until it is resumed.",
  }),
  /** Pauses the queue by itself when too many attempts fail. */
  circuitBreaker: nested(breakerOptions, "Pauses the queue by itself when too many attempts fail."),
}

export type RateLimit = OptionsInput<typeof rateOptions>
export type CircuitBreaker = OptionsInput<typeof breakerOptions>

/** Checked, durations in milliseconds. */
export type Limits = OptionsOutput<typeof limitOptions>

/** @throws MILLRACE_BAD_OPTION for limits that contradict each other. */
export function checkLimits(limits: Limits & { readonly claimAhead?: number | undefined }): void {
  const wrong = (text: string) => failure("MILLRACE_BAD_OPTION", `queue: ${text}`)
  if (limits.ordered && limits.keyConcurrency !== undefined && limits.keyConcurrency !== 1)
    throw wrong(
      `ordered means one job of a key at a time, so keyConcurrency cannot be ${limits.keyConcurrency}; leave it out.`,
    )
  if (hasLimits(limits) && limits.claimAhead)
    throw wrong("a queue with limits holds no jobs beyond its free slots, so claimAhead must be 0 or left out.")
  for (const name of ["rateLimit", "keyRateLimit"] as const) {
    const rate = limits[name]
    if (rate?.burst !== undefined && rate.limit > 0 && rate.burst < 1) throw wrong(`${name}.burst must be at least 1.`)
  }
  const { globalConcurrency: global, keyConcurrency: key } = limits
  if (global !== undefined && key !== undefined && key > global)
    throw wrong(`keyConcurrency (${key}) is above globalConcurrency (${global}), which it can never reach.`)
}

/** Whether claims have to look at anything but the order. */
export const hasLimits = (limits: Limits): boolean =>
  limits.globalConcurrency !== undefined ||
  limits.rateLimit !== undefined ||
  limits.keyConcurrency !== undefined ||
  limits.keyRateLimit !== undefined ||
  limits.fair ||
  limits.ordered !== undefined

interface StoredRate {
  readonly allowed: number
  readonly windowMs: number
  readonly burst?: number | undefined
}

/** The `limits` column of a queue. */
export interface StoredLimits {
  readonly concurrency?: number | undefined
  readonly rate?: StoredRate | undefined
  readonly keyConcurrency?: number | undefined
  readonly keyRate?: StoredRate | undefined
  readonly fair?: true | undefined
  readonly ordered?: "retry" | "skip" | "stop" | undefined
  readonly breaker?:
    | { readonly failureRatio: number; readonly minimum: number; readonly windowMs: number; readonly pauseMs: number }
    | undefined
}

/** As it is stored; null without any limit. */
export function storedLimits(limits: Limits): StoredLimits | null {
  const { circuitBreaker: breaker } = limits
  if (!hasLimits(limits) && !breaker) return null
  return {
    concurrency: limits.globalConcurrency,
    rate: storedRate(limits.rateLimit),
    keyConcurrency: limits.keyConcurrency,
    keyRate: storedRate(limits.keyRateLimit),
    fair: limits.fair || undefined,
    ordered: limits.ordered,
    breaker: breaker && {
      failureRatio: breaker.failureRatio,
      minimum: breaker.minimum,
      windowMs: breaker.window,
      pauseMs: breaker.pause,
    },
  }
}

const storedRate = (rate: Limits["rateLimit"]): StoredRate | undefined =>
  rate && { allowed: rate.limit, windowMs: rate.per, burst: rate.burst }

/** The limits of a queue, as its record shows them: durations in milliseconds. */
export interface LimitsRecord {
  readonly globalConcurrency: number | undefined
  readonly rateLimit: { readonly limit: number; readonly per: number; readonly burst: number | undefined } | undefined
  readonly keyConcurrency: number | undefined
  readonly keyRateLimit:
    { readonly limit: number; readonly per: number; readonly burst: number | undefined } | undefined
  readonly fair: boolean
  readonly ordered: "retry" | "skip" | "stop" | undefined
  readonly circuitBreaker:
    | { readonly failureRatio: number; readonly minimum: number; readonly window: number; readonly pause: number }
    | undefined
}

export function limitsRecord(stored: StoredLimits | null): LimitsRecord {
  const { concurrency, rate, keyConcurrency, keyRate, fair = false, ordered, breaker } = stored ?? {}
  return {
    globalConcurrency: concurrency,
    rateLimit: rateRecord(rate),
    keyConcurrency,
    keyRateLimit: rateRecord(keyRate),
    fair,
    ordered,
    circuitBreaker: breaker && {
      failureRatio: breaker.failureRatio,
      minimum: breaker.minimum,
      window: breaker.windowMs,
      pause: breaker.pauseMs,
    },
  }
}

const rateRecord = (rate: StoredRate | undefined) =>
  rate && { limit: rate.allowed, per: rate.windowMs, burst: rate.burst }
