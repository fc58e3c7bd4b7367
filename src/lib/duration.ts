import { MillraceError } from "./error.ts"
import { nearest } from "./nearest.ts"
import { quote } from "./quote.ts"

/** A number of milliseconds, or text with units: `"250ms"`, `"90s"`, `"5m"`, `"1.5h"`, `"2d"`, `"1w"`, `"1h30m"`. */
export type Duration = number | string

export interface DurationLimits {
  /** Milliseconds; default 0. */
  readonly min?: number
  /** Milliseconds; default 100 years. */
  readonly max?: number
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ["w", 604_800_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
])

// What people write instead of our units; only ever used to suggest, never accepted.
const FOREIGN_UNITS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ms: "msec msecs milli millis millisecond milliseconds",
    s: "sec secs second seconds",
    m: "min mins minute minutes",
    h: "hr hrs hour hours",
    d: "day days",
    w: "wk wks week weeks",
  }).flatMap(([unit, names]) => [unit, ...names.split(" ")].map((name) => [name, unit] as const)),
)

const ONE_PART = /(\d+(?:\.\d+)?)(ms|[smhdw])/g
const ALL_PARTS = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/

const ONE_WORDED_PART = /(\d+(?:[.,]\d+)?)\s*([a-zµ]*)/g

// Keeps now + duration inside what both Date and a PostgreSQL timestamp can hold.
const CEILING = 36_525 * 86_400_000

const LONGEST_TEXT = 100

/**
 * A duration as whole milliseconds; anything above zero is at least 1. `where` names the setting in the error.
 *
 * Throws `MILLRACE_BAD_DURATION` for text without a unit, unknown or repeated units, negative or endless values, and
 * values outside `limits`.
 */
export function milliseconds(value: Duration, where: string, limits: DurationLimits = {}): number {
  const exact = typeof value === "string" ? parse(value, where, limits) : value
  if (typeof exact !== "number" || !Number.isFinite(exact))
    throw bad(where, `${quote(value)} is not a duration. ${USE}`)
  if (exact < 0) throw bad(where, `${quote(value)} is negative. ${USE}`)
  const whole = exact === 0 ? 0 : Math.max(1, Math.round(exact))
  checkLimits(whole, value, where, limits)
  return whole
}

/** A duration for people, in at most two units: `"250 ms"`, `"1.5 s"`, `"2 m 3 s"`, `"3 d 4 h"`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (!Number.isFinite(ms)) return Number.isNaN(ms) ? "unknown" : "forever"
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`
  if (Math.round(ms / 100) < 600) return `${Math.round(ms / 100) / 10} s`
  if (Math.round(ms / 1_000) < 3_600) return pair(Math.round(ms / 1_000), 60, "m", "s")
  if (Math.round(ms / 60_000) < 1_440) return pair(Math.round(ms / 60_000), 60, "h", "m")
  return pair(Math.round(ms / 3_600_000), 24, "d", "h")
}

function pair(total: number, base: number, large: string, small: string): string {
  const rest = total % base
  return rest === 0 ? `${total / base} ${large}` : `${Math.floor(total / base)} ${large} ${rest} ${small}`
}

const USE = 'Use milliseconds, or text with units such as "90s", "5m" or "1h30m".'

function bad(where: string, what: string): MillraceError {
  return new MillraceError("MILLRACE_BAD_DURATION", `${where}: ${what}`)
}

function parse(text: string, where: string, limits: DurationLimits): number {
  const parts = text.length <= LONGEST_TEXT && ALL_PARTS.test(text) ? [...text.matchAll(ONE_PART)] : []
  const sizes = parts.map((part) => UNITS.get(part[2] ?? "") ?? 0)
  const descending = sizes.every((size, index) => index === 0 || size < (sizes[index - 1] ?? 0))
  if (parts.length > 0 && descending) {
    return parts.reduce((sum, part, index) => sum + Number(part[1]) * (sizes[index] ?? 0), 0)
  }
  const meant = suggestion(text, limits)
  throw bad(where, refusal(text, parts.length > 0) + (meant === undefined ? `. ${USE}` : `; did you mean "${meant}"?`))
}

function refusal(text: string, known: boolean): string {
  if (known) return `${quote(text)} must name each unit once, the largest first`
  if (/^\s*-/.test(text)) return `${quote(text)} is negative`
  return /^\s*\d+(\.\d+)?\s*$/.test(text) ? `${quote(text)} has no unit` : `${quote(text)} is not a duration`
}

/** The text the author probably meant, in our units: "10 minutes" becomes "10m", "15" becomes "15s". */
function suggestion(text: string, limits: DurationLimits): string | undefined {
  if (text.length > LONGEST_TEXT) return undefined
  const words = text.toLowerCase().replace(/\band\b/g, " ")
  if (!/^[\s,]*$/.test(words.replace(ONE_WORDED_PART, ""))) return undefined
  const parts: { amount: string; unit: string }[] = []
  for (const [, number = "", word = ""] of words.matchAll(ONE_WORDED_PART)) {
    const amount = number.replace(",", ".")
    const unit = word === "" ? firstFittingUnit(Number(amount), limits) : ourUnit(word)
    if (unit === undefined) return undefined
    parts.push({ amount, unit })
  }
  if (parts.length === 0) return undefined
  const units = [...UNITS.keys()]
  const ordered = parts.toSorted((a, b) => units.indexOf(a.unit) - units.indexOf(b.unit))
  if (new Set(ordered.map((part) => part.unit)).size < ordered.length) return undefined
  return ordered.map((part) => part.amount + part.unit).join("")
}

function ourUnit(word: string): string | undefined {
  return FOREIGN_UNITS.get(word) ?? FOREIGN_UNITS.get(nearest(word, FOREIGN_UNITS.keys()) ?? "")
}

/** Seconds are what a bare number most often means; a larger unit only when seconds are below the minimum. */
function firstFittingUnit(amount: number, { min = 0, max = CEILING }: DurationLimits): string | undefined {
  return ["s", "m", "h", "d"].find((unit) => {
    const ms = amount * (UNITS.get(unit) ?? 0)
    return ms >= min && ms <= max
  })
}

function checkLimits(ms: number, value: Duration, where: string, limits: DurationLimits): void {
  const { min = 0, max = CEILING } = limits
  const shown = typeof value === "number" ? `${value} millisecond${value === 1 ? "" : "s"}` : quote(value)
  if (ms > max) throw bad(where, `${shown} is above the maximum of ${formatDuration(max)}.`)
  if (ms >= min) return
  const unit = typeof value === "number" && value > 0 ? firstFittingUnit(value, limits) : undefined
  if (unit === undefined) throw bad(where, `${shown}; the minimum is ${formatDuration(min)}.`)
  throw bad(where, `${shown}; did you mean "${value}${unit}"? The minimum is ${formatDuration(min)}.`)
}
