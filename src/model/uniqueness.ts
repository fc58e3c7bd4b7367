import { milliseconds, type Duration } from "../lib/duration.ts"
import { quote } from "../lib/quote.ts"
import { failure } from "./errors.ts"
import { storedKey, type UniqueScope } from "./job.ts"

/*
 * What makes a push a duplicate. The usual key (one unfinished job) is guarded by an index over the jobs; a key that ends
 * with the start of its job, or outlives it, by a row of its own.
 */

/** A key of which only one job may exist at a time. */
export type UniqueKey =
  | string
  | {
      /** Any text. */
      readonly key: string
      readonly scope?: UniqueScope
      /** `unfinished` (default): until the job has finished. `waiting`: until it starts. */
      readonly while?: "unfinished" | "waiting"
      /** The key stays taken for so long after the job has finished. */
      readonly period?: Duration
      /**
       * What a push does when the key is taken. `keep` (default): nothing. `replace`: the job that waits gets this payload
       * and these options. `extend`: it keeps its own, and is put off to this push's time.
       */
      readonly onConflict?: OnConflict
    }

type OnConflict = "keep" | "replace" | "extend"

/** Pushes of one key within `wait` of each other are one job, with the last payload, started `wait` after the last of them. */
export interface Debounce {
  readonly key: string
  readonly wait: Duration
  /** The job starts at the latest so long after the first push. Default: no such end. */
  readonly maxWait?: Duration
}

/** Of the pushes of one key, at most one job starts per period. */
export interface Throttle {
  readonly key: string
  readonly period: Duration
}

/** How a push is told apart from earlier ones, as it travels. */
export interface Uniqueness {
  /** For the order in which keys are inserted. */
  readonly sort: string
  /** Guarded by the index; in the row. */
  readonly uniqueKey?: string | undefined
  /** Guarded by a row of its own; in the job's options. */
  readonly reserved?: { readonly key: string; readonly from: "start" | "finish"; readonly periodMs: number } | undefined
  readonly conflict?: "replace" | "extend" | undefined
  readonly maxWaitMs?: number | undefined
  /** The time at which it is to run, where that is part of it. */
  readonly delayMs?: number | undefined
}

interface Place {
  /** Of the job. */
  readonly name: string
  readonly queue: string
}

const tenYears = 10 * 365 * 86_400_000

/** @throws MILLRACE_BAD_OPTION. */
export function uniqueKeyOf(place: Place, given: UniqueKey): Uniqueness {
  const {
    key,
    scope = "global",
    while: lasting = "unfinished",
    period,
    onConflict = "keep",
    ...rest
  } = typeof given === "string" ? { key: given } : given
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined)
    throw bad(place, `uniqueKey has no option ${quote(unknown)}; known: key, scope, while, period, onConflict`)
  oneOf(place, "the scope of a unique key", scope, ["global", "queue", "name"])
  oneOf(place, "uniqueKey.while", lasting, ["unfinished", "waiting"])
  oneOf(place, "uniqueKey.onConflict", onConflict, ["keep", "replace", "extend"])
  const stored = storedKey(checkKey(place, "unique key", key), scope, place.queue, place.name)
  const conflict = onConflict === "keep" ? undefined : onConflict
  if (lasting === "waiting") {
    if (period !== undefined)
      throw bad(place, 'uniqueKey: a period begins with the finish, so it does not go with while: "waiting"')
    return { sort: stored, reserved: { key: `w|${stored}`, from: "start", periodMs: 0 }, conflict }
  }
  if (period === undefined) return { sort: stored, uniqueKey: stored, conflict }
  const periodMs = milliseconds(period, "uniqueKey.period", { min: 1, max: tenYears })
  return { sort: stored, uniqueKey: stored, reserved: { key: `f|${stored}`, from: "finish", periodMs }, conflict }
}

/** @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function debounceOf(place: Place, { key, wait, maxWait, ...rest }: Debounce): Uniqueness {
  nothingElse(place, "debounce", rest, "key, wait, maxWait")
  const delayMs = milliseconds(wait, "debounce.wait", { min: 1, max: tenYears })
  const maxWaitMs =
    maxWait === undefined ? undefined : milliseconds(maxWait, "debounce.maxWait", { min: 1, max: tenYears })
  if (maxWaitMs !== undefined && maxWaitMs < delayMs)
    throw bad(place, `debounce.maxWait (${maxWaitMs} ms) is shorter than debounce.wait (${delayMs} ms)`)
  const stored = `d|${storedKey(checkKey(place, "debounce key", key), "name", place.queue, place.name)}`
  return {
    sort: stored,
    reserved: { key: stored, from: "start", periodMs: 0 },
    conflict: "replace",
    maxWaitMs,
    delayMs,
  }
}

/** @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function throttleOf(place: Place, { key, period, ...rest }: Throttle): Uniqueness {
  nothingElse(place, "throttle", rest, "key, period")
  const periodMs = milliseconds(period, "throttle.period", { min: 1, max: tenYears })
  const stored = `t|${storedKey(checkKey(place, "throttle key", key), "name", place.queue, place.name)}`
  return { sort: stored, reserved: { key: stored, from: "start", periodMs } }
}

/** What a column of text can hold, and an index. */
const isKey = (key: unknown): key is string =>
  typeof key === "string" && key !== "" && key.length <= 500 && !/\0|[\ud800-\udfff]/u.test(key)

function checkKey(place: Place, what: string, key: unknown): string {
  if (isKey(key)) return key
  throw bad(place, `the ${what} must be 1 to 500 characters of text without U+0000 or half a surrogate pair`)
}

function oneOf(place: Place, what: string, given: string, known: readonly string[]): void {
  if (!known.includes(given)) throw bad(place, `${what} is ${known.map(quote).join(", ")}, not ${quote(given)}`)
}

function nothingElse(place: Place, what: string, rest: object, known: string): void {
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw bad(place, `${what} has no option ${quote(unknown)}; known: ${known}`)
}

const bad = ({ name }: Place, text: string) => failure("MILLRACE_BAD_OPTION", `Job "${name}": ${text}.`)

/** The key that a limit is about, from a payload. Numbers count as their text. */
export function limitKeyOf(name: string, of: string | ((payload: never) => unknown), payload: unknown): string {
  let key: unknown
  try {
    key = typeof of === "function" ? of(payload as never) : at(of, payload)
  } catch (error) {
    throw failure("MILLRACE_BAD_KEY", `The limitKey function of "${name}" threw: ${String(error)}`, error)
  }
  const text = typeof key === "number" || typeof key === "bigint" ? String(key) : key
  if (isKey(text)) return text
  const what = typeof of === "function" ? "function returned" : `"${of}" is`
  throw failure(
    "MILLRACE_BAD_KEY",
    `The limitKey of "${name}": its ${what} ${quote(key)}, but every job needs a key of 1 to 500 characters. ` +
      'Give those without one a common key, such as "none".',
  )
}

/** What stands at a place such as "customer.id". */
export function at(path: string, payload: unknown): unknown {
  return path
    .split(".")
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | null | undefined)?.[key], payload)
}
