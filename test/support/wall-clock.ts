// When cron patterns are due, found in another way than the code does: by looking at a wall clock in each minute.

const minute = 60_000
const day = 86_400_000

/** What the wall clock shows, as minutes since 1970, found in another way than the code does. */
export function wallOf(zone: string): (at: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  })
  return (at) => {
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
    return Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute) / minute
  }
}

export interface Pattern {
  readonly minutes: readonly number[]
  /** Undefined: every hour. */
  readonly hours: readonly number[] | undefined
  readonly weekdays: readonly number[] | undefined
}

export const textOf = ({ minutes, hours, weekdays }: Pattern): string =>
  `${minutes.join(",")} ${hours?.join(",") ?? "*"} * * ${weekdays?.join(",") ?? "*"}`

function matches({ minutes, hours, weekdays }: Pattern, wall: number): boolean {
  const date = new Date(wall * minute)
  return (
    minutes.includes(date.getUTCMinutes()) &&
    (hours?.includes(date.getUTCHours()) ?? true) &&
    (weekdays?.includes(date.getUTCDay()) ?? true)
  )
}

/** Looks at every minute, and remembers how far the wall clock has come. */
export function lookedAt(pattern: Pattern, zone: string, from: number, to: number): number[] {
  const found: number[] = []
  const wallAt = wallOf(zone)
  const begin = Math.floor(from / minute) * minute - 2 * day
  let reached = wallAt(begin)
  for (let at = begin + minute; at <= to; at += minute) {
    const wall = wallAt(at)
    let due = matches(pattern, wall) && (pattern.hours === undefined || wall > reached)
    if (pattern.hours !== undefined) for (let gap = reached + 1; gap < wall; gap++) due ||= matches(pattern, gap)
    reached = Math.max(reached, wall)
    if (due && at > from) found.push(at)
  }
  return found
}
