import { formatDuration } from "../../lib/duration.ts"
import { parseExpression, valuesOf } from "./expression.ts"
import type { Timing } from "./occurrences.ts"

/** Words for schedules, as people say them; what has no usual words is spelt out field by field. */

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
const months = "January February March April May June July August September October November December".split(" ")

/** `"every weekday at 09:00"`; the expression itself where it cannot be read. */
export function describeTiming({ cron, every, zone }: Pick<Timing, "cron" | "every" | "zone">): string {
  if (every !== undefined) return `every ${formatDuration(every)}`
  try {
    const words = describeExpression(cron ?? "")
    return zone === "UTC" ? words : `${words}, ${zone}`
  } catch {
    return cron ?? ""
  }
}

function describeExpression(cron: string): string {
  const [second, minute, hour, day, month, weekday] = parseExpression(cron).fields as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const date = dateWords(day, month, weekday)
  const clock = clockTimes(second, minute, hour)
  if (clock) return `${date} at ${listed(clock)}`
  const often = frequency(second, minute, hour)
  return date === "every day" ? often : `${often}, ${date}`
}

const any = (field: string): boolean => /^[*?]$/.test(field)

/** Times of day, where there are few of them. */
function clockTimes(second: string, minute: string, hour: string): string[] | undefined {
  if (any(hour) || any(minute) || any(second)) return undefined
  const [hours, minutes, seconds] = [valuesOf(hour, 0, 23), valuesOf(minute, 0, 59), valuesOf(second, 0, 59)]
  if (hours.size * minutes.size * seconds.size > 6) return undefined
  const sorted = (values: Set<number>) => [...values].sort((a, b) => a - b)
  const two = (value: number) => String(value).padStart(2, "0")
  return sorted(hours).flatMap((h) =>
    sorted(minutes).flatMap((m) =>
      sorted(seconds).map((s) => `${two(h)}:${two(m)}${second === "0" ? "" : `:${two(s)}`}`),
    ),
  )
}

function frequency(second: string, minute: string, hour: string): string {
  const parts: string[] = []
  if (second !== "0") parts.push(fieldWords(second, "second"))
  if (second === "0" || !any(minute)) parts.push(fieldWords(minute, "minute"))
  if (any(hour))
    return parts.length === 1 && /^\d+$/.test(minute)
      ? `every hour at ${parts[0]!.replace(/^at /, "")}`
      : parts.join(" of ")
  return `${parts.join(" of ")}, ${hour.startsWith("*/") ? fieldWords(hour, "hour") : `in the hours ${listed(hour.split(","))}`}`
}

function fieldWords(field: string, unit: string): string {
  if (any(field)) return `every ${unit}`
  const step = /^\*\/(\d+)$/.exec(field)?.[1]
  if (step !== undefined) return step === "1" ? `every ${unit}` : `every ${step} ${unit}s`
  return `at ${unit} ${listed(field.split(","))}`
}

function dateWords(day: string, month: string, weekday: string): string {
  const both = weekday.startsWith("+") ? "and" : "or"
  const when = [
    any(day) ? undefined : dayWords(day),
    any(weekday) ? undefined : weekdayWords(weekday.replace(/^\+/, "")),
  ]
    .filter((words) => words !== undefined)
    .join(` ${both} `)
  if (any(month)) return when === "" ? "every day" : any(day) ? when : `${when} of every month`
  return `${when === "" ? "every day" : when} in ${listed(month.split(",").map(monthWord))}`
}

function dayWords(day: string): string {
  if (day === "L") return "on the last day"
  if (day === "LW") return "on the last weekday"
  const near = /^(\d+)W$/.exec(day)?.[1]
  return near === undefined ? `on day ${listed(day.split(","))}` : `on the weekday nearest to day ${near}`
}

const ordinals = ["first", "second", "third", "fourth", "fifth"]

function weekdayWords(weekday: string): string {
  if (/^(1-5|MON-FRI)$/i.test(weekday)) return "every weekday"
  const words = weekday.split(",").map((part) => {
    const [, name = part, which] = /^([^#L]+)(?:#(\d)|L)$/i.exec(part) ?? []
    const named = name.split("-").map(dayWord).join(" to ")
    if (named === part || name === part) return named
    return `the ${which === undefined ? "last" : ordinals[Number(which) - 1]} ${named}`
  })
  return words.some((word) => word.startsWith("the ")) ? `on ${listed(words)}` : `every ${listed(words)}`
}

function dayWord(text: string): string {
  return days[Number(text)] ?? days.find((name) => name.slice(0, 3).toUpperCase() === text.toUpperCase()) ?? text
}

const monthWord = (text: string): string =>
  text
    .split("-")
    .map(
      (one) =>
        months[Number(one) - 1] ?? months.find((name) => name.slice(0, 3).toUpperCase() === one.toUpperCase()) ?? one,
    )
    .join(" to ")

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`
