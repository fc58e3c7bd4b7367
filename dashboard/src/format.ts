// How figures, times and payloads are written for people.
import { preferences } from "./preferences.ts"

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 })

export const number = (value: number): string => whole.format(value)

/** 12,345 in full, 1.2M in short. */
export const compact = (value: number): string =>
  Math.abs(value) < 100_000 ? whole.format(value) : short.format(value)

export const rate = (value: number): string =>
  value === 0 ? "0" : value < 10 ? value.toFixed(value < 1 ? 2 : 1) : compact(value)

export const percent = (share: number): string =>
  share === 0 ? "0 %" : share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${number(count)} ${count === 1 ? one : many}`

const units: readonly [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
  [1_000, "s"],
]

/** 340 ms, 1.2 s, 4m 10s, 3h 5m, 12d. */
export function duration(ms: number): string {
  const size = Math.abs(ms)
  if (size < 1) return size === 0 ? "0 ms" : "<1 ms"
  if (size < 1_000) return `${Math.round(ms)} ms`
  if (size < 60_000) return `${(ms / 1_000).toFixed(size < 10_000 ? 1 : 0)} s`
  const index = units.findIndex(([unit]) => size >= unit)
  const [unit, letter] = units[index]!
  const next = units[index + 1]
  const most = Math.floor(size / unit)
  const rest = next ? Math.floor((size % unit) / next[0]) : 0
  return `${ms < 0 ? "-" : ""}${most}${letter}${rest > 0 && next ? ` ${rest}${next[1]}` : ""}`
}

export function bytes(count: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"]
  let value = count
  let index = 0
  for (; value >= 1000 && index < names.length - 1; index++) value /= 1000
  return `${index === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${names[index]}`
}

/** The server's clock against ours, so that ages are right on a machine whose clock is not. */
let skew = 0
export const now = (): number => Date.now() + skew
export function noteServerTime(iso: string | undefined): void {
  const at = iso === undefined ? Number.NaN : Date.parse(iso)
  if (!Number.isNaN(at)) skew = at - Date.now()
}

/** "12 s ago", "in 4m 10s". */
export function relative(iso: string, at = now()): string {
  const ms = Date.parse(iso) - at
  if (Number.isNaN(ms)) return iso
  const size = Math.abs(ms)
  if (size < 1_000) return "now"
  const text = size < 60_000 ? `${Math.floor(size / 1_000)} s` : duration(Math.floor(size / 1_000) * 1_000)
  return ms > 0 ? `in ${text}` : `${text} ago`
}

export function zone(): string | undefined {
  const chosen = preferences().zone
  return chosen === "local" ? undefined : chosen
}

export function clockTime(iso: string | number | Date, options: Intl.DateTimeFormatOptions = {}): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return String(iso)
  const format: Intl.DateTimeFormatOptions = {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
    ...options,
  }
  return new Intl.DateTimeFormat("en-GB", { ...format, timeZone: zone() }).format(date)
}

/** 2026-11-24 12:38:34.120 +01:00, in the zone of the settings. */
export function fullTime(iso: string): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return iso
  const parts = new Intl.DateTimeFormat("en-GB", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hour12: false,
    timeZoneName: "longOffset",
    timeZone: zone(),
  }).formatToParts(date)
  const of = (type: string) => parts.find((one) => one.type === type)?.value ?? ""
  const offset = of("timeZoneName").replace("GMT", "") || "+00:00"
  return `${of("year")}-${of("month")}-${of("day")} ${of("hour")}:${of("minute")}:${of("second")}.${of("fractionalSecond")} ${offset}`
}

/** One line of a payload, for a table. */
export function glimpse(value: unknown, length = 160): string {
  if (value === null || value === undefined) return ""
  if (typeof value !== "object") return String(value).slice(0, length)
  let text = ""
  for (const [key, part] of Object.entries(value)) {
    const told = typeof part === "string" ? part : (JSON.stringify(part) ?? "")
    text += `${text === "" ? "" : "  "}${Array.isArray(value) ? "" : `${key}=`}${told}`
    if (text.length > length) break
  }
  return text.slice(0, length)
}

export const shortId = (id: string): string => (id.length > 13 ? `…${id.slice(-8)}` : id)
