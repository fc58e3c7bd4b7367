import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { Backoff } from "../lib/backoff.ts"
import { milliseconds, type Duration } from "../lib/duration.ts"
import { encodeJson } from "../lib/json.ts"
import {
  boolean,
  duration,
  integer,
  list,
  oneOf,
  parseOptions,
  text,
  value,
  type OptionSpec,
  type OptionsInput,
  type OptionsOutput,
} from "../lib/options.ts"
import { isUuid } from "../lib/uuid.ts"
import type { CallerTransaction } from "./database.ts"
import { failure } from "./errors.ts"
import type { Debounce, Throttle, UniqueKey } from "./uniqueness.ts"
import type { Directive, FailedAttempt } from "./outcome.ts"

/*
 * The options of a job, each declared once: those that a definition sets as defaults and a push may override, those of
 * a definition alone, and those of a push alone.
 */

export type { Debounce, Throttle, UniqueKey }

/** A point in time: absolute, or so many milliseconds from the database's now. */
export interface Moment {
  readonly at?: string
  readonly inMs?: number
}

/** Seconds to keep a finished job; 0 none, -1 for ever. */
export interface Retention {
  readonly succeeded: number
  readonly failed: number
}

export type RetentionInput =
  | Duration
  | "none"
  | "forever"
  | { readonly succeeded?: Duration | "none" | "forever"; readonly failed?: Duration | "none" | "forever" }

export const backoffOptions = {
  /** Before the second attempt, before jitter. */
  initial: duration({ default: "1s", doc: "Before the second attempt, before jitter." }),
  /** How much longer each time. */
  factor: value<number>({ type: "number", default: 2, doc: "How much longer each time.", check: atLeastOne }),
  /** The longest wait; `initial`, where that is longer and this is left out. Default 5 m. */
  max: duration({ default: "5m", doc: "The longest wait; `initial`, where that is longer and this is left out." }),
  /** `full`: a random part of the wait, so that failures spread out. */
  jitter: oneOf(["full", "none"], {
    default: "full",
    doc: "`full`: a random part of the wait, so that failures spread out.",
  }),
}

function atLeastOne(given: unknown): string | undefined {
  return typeof given === "number" && Number.isFinite(given) && given >= 1
    ? undefined
    : "must be a number of at least 1"
}

export type BackoffOptions = OptionsInput<typeof backoffOptions>

/** A default gives way to what the caller says: `{ initial: "1h" }` waits an hour each time. */
function parseBackoff(given: BackoffOptions, where: string): Backoff {
  const backoff = parseOptions(where, backoffOptions, given)
  if (backoff.initial <= backoff.max) return backoff
  if (given.max === undefined) return Object.freeze({ ...backoff, max: backoff.initial })
  if (given.initial === undefined) return Object.freeze({ ...backoff, initial: backoff.max })
  const text = `${where}.initial (${backoff.initial} ms) is longer than ${where}.max (${backoff.max} ms), which no wait exceeds: raise \`max\` or lower \`initial\`.`
  throw failure("MILLRACE_BAD_OPTION", text)
}

export const defaultBackoff: Backoff = parseOptions("backoff", backoffOptions, {})

/** An option with a parser of its own. */
function parsed<In, Out>(
  type: string,
  doc: string,
  parse: (given: In, where: string) => Out,
): OptionSpec<In, Out | undefined> {
  return Object.freeze({ type, doc, parse })
}

const tenYears = 10 * 365 * 86_400_000

const secondsKept = (given: Duration | "none" | "forever", where: string): number => {
  if (given === "none") return 0
  return given === "forever" ? -1 : Math.ceil(milliseconds(given, where, { max: tenYears }) / 1_000)
}

function parseRetention(given: RetentionInput, where: string): Retention {
  if (typeof given !== "object" || given === null) {
    const kept = secondsKept(given, where)
    return { succeeded: kept, failed: kept }
  }
  const { succeeded = "1d", failed = "1d", ...rest } = given
  if (Object.keys(rest).length > 0) {
    throw failure(
      "MILLRACE_UNKNOWN_OPTION",
      `${where}: there is no option ${JSON.stringify(Object.keys(rest)[0])}. Known: succeeded, failed.`,
    )
  }
  return { succeeded: secondsKept(succeeded, `${where}.succeeded`), failed: secondsKept(failed, `${where}.failed`) }
}

const earliest = Date.UTC(1, 0, 1)
const latest = Date.UTC(9999, 11, 31)

/** A Date of the years 1 to 9999, or text such as `"in 10m"`. */
export function parseMoment(given: Date | string, where: string): Moment {
  if (given instanceof Date && given.getTime() >= earliest && given.getTime() <= latest)
    return { at: given.toISOString() }
  if (typeof given === "string" && given.startsWith("in ")) return { inMs: milliseconds(given.slice(3).trim(), where) }
  throw failure(
    "MILLRACE_BAD_OPTION",
    `${where}: expected a Date (years 1 to 9999), or text such as "in 10m", not ${JSON.stringify(given) ?? typeof given}.`,
  )
}

function parseMeta(given: Readonly<Record<string, unknown>>, where: string): Readonly<Record<string, unknown>> {
  const json = encodeJson(given)
  if ("problem" in json || typeof given !== "object" || Array.isArray(given) || given === null) {
    throw failure(
      "MILLRACE_BAD_JSON",
      `${where} must be an object that can be stored as JSON${"problem" in json ? `: ${json.path ?? "$"} ${json.problem}` : ""}.`,
    )
  }
  if (json.bytes > 65_536)
    throw failure("MILLRACE_PAYLOAD_TOO_LARGE", `${where} is ${json.bytes} bytes of JSON, over the limit of 65,536.`)
  return given
}

function parseId(given: string, where: string): string {
  if (typeof given === "string" && isUuid(given)) return given.toLowerCase()
  throw failure("MILLRACE_BAD_ID", `${where}: expected a UUID, not ${JSON.stringify(given)}.`)
}

/** What jsonb and text can hold: no U+0000, no half of a surrogate pair. */
const storable = /^[^\0\p{Cs}]{1,500}$/u

const shared = {
  /** Higher runs first. Default 0. */
  priority: integer({ min: -1_000_000, max: 1_000_000, doc: "Higher runs first. Default 0." }),
  /** Attempts in all, the first included. Default 5. */
  maxAttempts: integer({ min: 1, max: 1_000_000, doc: "Attempts in all, the first included. Default 5." }),
  /** The wait between attempts. Default 1 s, doubling up to 5 m, with full jitter. */
  backoff: parsed<BackoffOptions, Backoff>(
    "object",
    "The wait between attempts. Default 1 s, doubling up to 5 m, with full jitter.",
    parseBackoff,
  ),
  /** Time limit of one attempt. Default none. */
  timeout: duration({ min: 1, max: 2_147_483_647, doc: "Time limit of one attempt. Default none." }),
  /** How long the finished job is kept: a duration, `"none"`, `"forever"`, or `{ succeeded, failed }`. Default 1 d. */
  retention: parsed<RetentionInput, Retention>(
    'duration | "none" | "forever" | object',
    "How long the finished job is kept. Default 1 d.",
    parseRetention,
  ),
  /** What a start takes from a rate limit. Default 1. */
  weight: integer({ min: 1, max: 1_000_000, doc: "What a start takes from a rate limit. Default 1." }),
  /** Words to find jobs by. */
  tags: list(text({ pattern: storable, expects: "1 to 500 storable characters", doc: "A tag." }), {
    max: 100,
    doc: "Words to find jobs by.",
  }),
  /** A JSON object for your own use; handlers may change it. */
  meta: parsed<Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>>(
    "object",
    "A JSON object for your own use; handlers may change it.",
    parseMeta,
  ),
}

const isSchema = (given: unknown): string | undefined =>
  given !== null && (typeof given === "object" || typeof given === "function") && "~standard" in given
    ? undefined
    : "must be a Standard Schema (zod, valibot, arktype, …)"

/** The options of a push, with the key made from the payload. */
export type ByPayload<Options extends { readonly key: string }, Payload = never> = Omit<Options, "key"> & {
  readonly key: (payload: Payload) => string
}

function hasKeyFunction(given: unknown): string | undefined {
  return typeof (given as { key?: unknown } | null)?.key === "function"
    ? undefined
    : "must be an object whose key is a function of the payload"
}

const isFunction = (given: unknown): string | undefined =>
  typeof given === "function" ? undefined : "must be a function"

function hasKey(given: unknown): string | undefined {
  return typeof given === "object" && given !== null && "key" in given ? undefined : "must be an object with a key"
}

export const definitionOptions = {
  /** Names the job, for ever: it stands in the rows. */
  name: text({ required: true, doc: "Names the job, for ever: it stands in the rows." }),
  /** Schema of the payload: any Standard Schema validator. */
  payload: value<StandardSchemaV1>({
    type: "schema",
    doc: "Schema of the payload: any Standard Schema validator.",
    check: isSchema,
  }),
  /** Schema of the result. */
  result: value<StandardSchemaV1>({ type: "schema", doc: "Schema of the result.", check: isSchema }),
  /** Queue that its jobs go to. */
  queue: text({ default: "default", doc: "Queue that its jobs go to." }),
  ...shared,
  /** The key of which only one unfinished job may exist, from the payload. */
  uniqueKey: value<(payload: never) => UniqueKey | undefined>({
    type: "function",
    doc: "The key of which only one unfinished job may exist, from the payload.",
    check: isFunction,
  }),
  /** What the limits per key of its queue go by: a place in the payload, such as `"customer.id"`, or a function of it. */
  limitKey: value<string | ((payload: never) => string | number)>({
    type: "text | function",
    doc: 'What the limits per key of its queue go by: a place in the payload, such as `"customer.id"`, or a function of it.',
    check: (given) =>
      typeof given === "function" || (typeof given === "string" && given !== "")
        ? undefined
        : "must be text or a function",
  }),
  /** Pushes of one key close together are one job: `{ key: (payload) => …, wait: "5s", maxWait: "1m" }`. */
  debounce: value<ByPayload<Debounce>>({
    type: "{ key, wait, maxWait }",
    doc: "Pushes of one key close together are one job, with the last payload. The key is a function of the payload.",
    check: hasKeyFunction,
  }),
  /** At most one job of a key starts per period: `{ key: (payload) => …, period: "1m" }`. */
  throttle: value<ByPayload<Throttle>>({
    type: "{ key, period }",
    doc: "At most one job of a key starts per period. The key is a function of the payload.",
    check: hasKeyFunction,
  }),
  /** Earlier names of this job, which its handler answers to as well. */
  aliases: list(text({ doc: "A name." }), {
    default: [],
    doc: "Earlier names of this job, which its handler answers to as well.",
  }),
  /** Turns a payload that its schema refuses, because an earlier release stored it, into one of today. */
  upgrade: value<(payload: unknown) => unknown>({
    type: "function",
    doc: "Turns a payload that its schema refuses, because an earlier release stored it, into one of today.",
    check: isFunction,
  }),
  /** Policy for what a handler throws: a directive such as `discard()`, or nothing for a retry with backoff. */
  onError: value<(error: unknown, job: FailedAttempt) => Directive | undefined | void>({
    type: "function",
    doc: "Policy for what a handler throws: a directive such as `discard()`, or nothing for a retry with backoff.",
    check: isFunction,
  }),
}

export const pushOptions = {
  /** Queue, instead of the definition's. */
  queue: text({ doc: "Queue, instead of the definition's." }),
  ...shared,
  /** When to run it: a Date, or `"in 10m"` (by the database's clock). */
  runAt: parsed<Date | string, Moment>(
    "Date | text",
    'When to run it: a Date, or `"in 10m"` (by the database\'s clock).',
    parseMoment,
  ),
  /** The same as `runAt: "in …"`. */
  delay: duration({ doc: 'The same as `runAt: "in …"`.' }),
  /** A job that has not started by then is cancelled. */
  expiresAt: parsed<Date | string, Moment>(
    "Date | text",
    "A job that has not started by then is cancelled.",
    parseMoment,
  ),
  /** A key of which only one job may exist: unfinished (default), waiting, or for a `period` after its finish. */
  uniqueKey: value<UniqueKey>({
    type: "text | { key, scope, while, period, onConflict }",
    doc: "A key of which only one job may exist: unfinished (default), waiting, or for a `period` after its finish.",
    check: (given) =>
      typeof given === "string" || (typeof given === "object" && given !== null && "key" in given)
        ? undefined
        : "must be text, or { key, scope, … }",
  }),
  /** What the limits per key of its queue go by, instead of the definition's. */
  limitKey: text({
    pattern: storable,
    expects: "1 to 500 storable characters",
    doc: "What the limits per key of its queue go by, instead of the definition's.",
  }),
  /** Pushes of this key close together are one job: `{ key, wait: "5s", maxWait: "1m" }`. */
  debounce: value<Debounce>({
    type: "{ key, wait, maxWait }",
    doc: "Pushes of this key close together are one job, with the last payload.",
    check: hasKey,
  }),
  /** At most one job of this key starts per period: `{ key, period: "1m" }`. */
  throttle: value<Throttle>({
    type: "{ key, period }",
    doc: "At most one job of this key starts per period.",
    check: hasKey,
  }),
  /** The job's id (a UUID): a push that is sent again with its id is the same push. */
  id: parsed<string, string>("UUID", "The job's id: a push that is sent again with its id is the same push.", parseId),
  /** Your own open transaction: the job exists when you commit. */
  tx: value<CallerTransaction>({ type: "client", doc: "Your own open transaction: the job exists when you commit." }),
  /** Wake the workers at once. With `false` they find the job at their next poll. */
  wake: boolean({
    default: true,
    doc: "Wake the workers at once. With `false` they find the job at their next poll.",
  }),
}

export type PushOptions = OptionsInput<typeof pushOptions>
export type PushDetails = OptionsOutput<typeof pushOptions>

/** A definition's options, parsed, and the kind that a push without options uses. */
export interface JobDefaults extends Omit<OptionsOutput<typeof definitionOptions>, "payload" | "result" | "name"> {
  readonly kind: string
}

/** What other systems call these. */
export const jobHints: Readonly<Record<string, string>> = {
  max_attempts: "maxAttempts",
  attempts: "maxAttempts",
  retryLimit: "maxAttempts",
  scheduled_at: "runAt",
  scheduleIn: "delay",
  startAfter: "runAt",
  unique_key: "uniqueKey",
  singletonKey: "uniqueKey",
  jobKey: "uniqueKey",
  unique: "uniqueKey",
  expireIn: "timeout",
  group: "limitKey",
  groupKey: "limitKey",
  partitionKey: "limitKey",
  concurrencyKey: "limitKey",
  removeOnComplete: "retention",
  client: "tx",
  transaction: "tx",
}
