import fc from "fast-check"
import { expect, test } from "vitest"
import { nextDue, upcoming } from "./occurrences.ts"

const utc = (at: number): string => new Date(at).toISOString().slice(0, 16).replace("T", " ")

/** The runs between two moments, in UTC. */
function runs(cron: string, zone: string, from: string, to: string): string[] {
  const found: string[] = []
  const end = Date.parse(`${to}Z`)
  for (
    let at = nextDue({ cron, zone }, Date.parse(`${from}Z`) - 1);
    at !== undefined && at < end;
    at = nextDue({ cron, zone }, at)
  )
    found.push(utc(at))
  return found
}

// Berlin: 2027-03-28 02:00 → 03:00 (01:00 UTC), 2027-10-31 03:00 → 02:00 (01:00 UTC).
// New York: 2027-03-14 02:00 → 03:00 (07:00 UTC), 2027-11-07 02:00 → 01:00 (06:00 UTC).
// Lord Howe: 2027-10-03 02:00 → 02:30 (15:30 UTC before), 2027-04-04 02:00 → 01:30 (15:00 UTC before).
// Santiago: 2027-09-05 00:00 → 01:00 (04:00 UTC), 2027-04-04 00:00 → 23:00 of the day before (03:00 UTC).
test.each([
  // A daily time in the gap runs once, at its end, and is back at its time on the next day.
  [
    "30 2 * * *",
    "Europe/Berlin",
    "2027-03-27",
    "2027-03-30",
    ["2027-03-27 01:30", "2027-03-28 01:00", "2027-03-29 00:30"],
  ],
  [
    "30 2 * * *",
    "America/New_York",
    "2027-03-13",
    "2027-03-16",
    ["2027-03-13 07:30", "2027-03-14 07:00", "2027-03-15 06:30"],
  ],
  [
    "15 2 * * *",
    "Australia/Lord_Howe",
    "2027-10-01",
    "2027-10-04",
    ["2027-10-01 15:45", "2027-10-02 15:30", "2027-10-03 15:15"],
  ],
  [
    "0 0 * * *",
    "America/Santiago",
    "2027-09-04",
    "2027-09-07",
    ["2027-09-04 04:00", "2027-09-05 04:00", "2027-09-06 03:00"],
  ],
  // Several times in the gap are one run; the library would drop the day.
  ["15,45 2 * * *", "Europe/Berlin", "2027-03-28", "2027-03-29 00:20", ["2027-03-28 01:00", "2027-03-29 00:15"]],
  [
    "*/20 2 * * *",
    "America/New_York",
    "2027-03-14",
    "2027-03-15 06:30",
    ["2027-03-14 07:00", "2027-03-15 06:00", "2027-03-15 06:20"],
  ],
  // One at the end of the gap and one in it are one run as well.
  ["30 2,3 * * *", "Europe/Berlin", "2027-03-28", "2027-03-28 12:00", ["2027-03-28 01:00", "2027-03-28 01:30"]],
  ["0 2,3 * * *", "Europe/Berlin", "2027-03-28", "2027-03-28 12:00", ["2027-03-28 01:00"]],
  // Every hour: what is not on the wall does not run.
  [
    "30 * * * *",
    "Europe/Berlin",
    "2027-03-28",
    "2027-03-28 03:00",
    ["2027-03-28 00:30", "2027-03-28 01:30", "2027-03-28 02:30"],
  ],
  [
    "*/30 * * * *",
    "America/New_York",
    "2027-03-14 06:00",
    "2027-03-14 08:00",
    ["2027-03-14 06:00", "2027-03-14 06:30", "2027-03-14 07:00", "2027-03-14 07:30"],
  ],
  [
    "10 * * * *",
    "Australia/Lord_Howe",
    "2027-10-02 14:30",
    "2027-10-02 17:30",
    ["2027-10-02 14:40", "2027-10-02 16:10", "2027-10-02 17:10"],
  ],
  // A daily time that is repeated runs the first time.
  [
    "30 2 * * *",
    "Europe/Berlin",
    "2027-10-30",
    "2027-11-02",
    ["2027-10-30 00:30", "2027-10-31 00:30", "2027-11-01 01:30"],
  ],
  [
    "30 1 * * *",
    "America/New_York",
    "2027-11-06",
    "2027-11-09",
    ["2027-11-06 05:30", "2027-11-07 05:30", "2027-11-08 06:30"],
  ],
  [
    "45 1 * * *",
    "Australia/Lord_Howe",
    "2027-04-02",
    "2027-04-05",
    ["2027-04-02 14:45", "2027-04-03 14:45", "2027-04-04 15:15"],
  ],
  ["30 23 * * *", "America/Santiago", "2027-04-03 12:00", "2027-04-06", ["2027-04-04 02:30", "2027-04-05 03:30"]],
  // Several repeated times run once each; the library would run four.
  ["15,45 1 * * *", "America/New_York", "2027-11-07", "2027-11-08", ["2027-11-07 05:15", "2027-11-07 05:45"]],
  // Every hour: the repeated hour is one more.
  [
    "30 * * * *",
    "Europe/Berlin",
    "2027-10-31",
    "2027-10-31 04:00",
    ["2027-10-31 00:30", "2027-10-31 01:30", "2027-10-31 02:30", "2027-10-31 03:30"],
  ],
  [
    "0 0-23 * * *",
    "America/New_York",
    "2027-11-07 04:30",
    "2027-11-07 08:00",
    ["2027-11-07 05:00", "2027-11-07 06:00", "2027-11-07 07:00"],
  ],
  [
    "40 * * * *",
    "Australia/Lord_Howe",
    "2027-04-03 14:00",
    "2027-04-03 16:30",
    ["2027-04-03 14:40", "2027-04-03 15:10", "2027-04-03 16:10"],
  ],
  // A whole day that was not there (Samoa crossed the date line on 2011-12-30).
  [
    "0 9 * * *",
    "Pacific/Apia",
    "2011-12-29",
    "2012-01-01",
    ["2011-12-29 19:00", "2011-12-30 10:00", "2011-12-30 19:00", "2011-12-31 19:00"],
  ],
  // L, W, # and seconds.
  ["0 0 L * *", "UTC", "2028-01-31", "2028-04-01", ["2028-01-31 00:00", "2028-02-29 00:00", "2028-03-31 00:00"]],
  [
    "0 9 15W * *",
    "UTC",
    "2027-05-01",
    "2027-09-01",
    ["2027-05-14 09:00", "2027-06-15 09:00", "2027-07-15 09:00", "2027-08-16 09:00"],
  ],
  ["0 9 * * 1#1", "Europe/Berlin", "2027-03-01", "2027-05-01", ["2027-03-01 08:00", "2027-04-05 07:00"]],
  ["0 0 29 2 *", "UTC", "2027-01-01", "2033-01-01", ["2028-02-29 00:00", "2032-02-29 00:00"]],
  ["@weekly", "UTC", "2027-01-01", "2027-01-12", ["2027-01-03 00:00", "2027-01-10 00:00"]],
])("%s in %s from %s", (cron, zone, from, to, expected) => {
  expect(runs(cron, zone, from.length === 10 ? `${from} 00:00` : from, to.length === 10 ? `${to} 00:00` : to)).toEqual(
    expected,
  )
})

test("six fields run by the second", () => {
  const at = Date.parse("2027-01-01T00:00:05Z")
  expect(upcoming({ cron: "*/20 * * * * *", zone: "UTC" }, at, 3).map((time) => (time - at) / 1_000)).toEqual([
    15, 35, 55,
  ])
})

test("an interval counts from 1970, or from its start, through every change of the clocks", () => {
  const at = Date.parse("2027-03-28T00:00:00Z")
  expect(upcoming({ every: 90_000, zone: "Europe/Berlin" }, at, 2)).toEqual([at + 90_000, at + 180_000])
  const start = at + 10_007
  expect(upcoming({ every: 60_000, zone: "UTC", start }, at, 3)).toEqual([start, start + 60_000, start + 120_000])
  expect(upcoming({ every: 60_000, zone: "UTC", start, end: start + 60_000 }, at, 9)).toHaveLength(2)
})

test("start and end are inclusive", () => {
  const timing = {
    cron: "0 * * * *",
    zone: "UTC",
    start: Date.parse("2027-01-01T10:00Z"),
    end: Date.parse("2027-01-01T12:00Z"),
  }
  expect(upcoming(timing, 0, 9).map(utc)).toEqual(["2027-01-01 10:00", "2027-01-01 11:00", "2027-01-01 12:00"])
})

const zones = [
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe",
  "America/Santiago",
  "Asia/Beirut",
  "Africa/Casablanca",
  "Asia/Kolkata",
]
const minute = 60_000
const day = 86_400_000

/** What the wall clock shows, as minutes since 1970, found in another way than the code does. */
function wallOf(zone: string): (at: number) => number {
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

interface Pattern {
  readonly minutes: readonly number[]
  /** Undefined: every hour. */
  readonly hours: readonly number[] | undefined
  readonly weekdays: readonly number[] | undefined
}

const textOf = ({ minutes, hours, weekdays }: Pattern): string =>
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
function lookedAt(pattern: Pattern, zone: string, from: number, to: number): number[] {
  const found: number[] = []
  const wallAt = wallOf(zone)
  let reached = wallAt(from - 2 * day)
  for (let at = from - 2 * day + minute; at <= to; at += minute) {
    const wall = wallAt(at)
    let due = matches(pattern, wall) && (pattern.hours === undefined || wall > reached)
    if (pattern.hours !== undefined) for (let gap = reached + 1; gap < wall; gap++) due ||= matches(pattern, gap)
    reached = Math.max(reached, wall)
    if (due && at > from) found.push(at)
  }
  return found
}

const patterns: fc.Arbitrary<Pattern> = fc.record({
  minutes: fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 4 }),
  hours: fc.option(fc.uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1, maxLength: 5 }), { nil: undefined }),
  weekdays: fc.option(fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 }), {
    nil: undefined,
  }),
})

/** Moments around a change of the clocks of 2027 in one of the zones. */
const changes = fc.constantFrom(
  ["Europe/Berlin", "2027-03-28T01:00Z"],
  ["Europe/Berlin", "2027-10-31T01:00Z"],
  ["America/New_York", "2027-03-14T07:00Z"],
  ["America/New_York", "2027-11-07T06:00Z"],
  ["Australia/Lord_Howe", "2027-10-02T15:30Z"],
  ["Australia/Lord_Howe", "2027-04-03T15:00Z"],
  ["America/Santiago", "2027-09-05T04:00Z"],
  ["America/Santiago", "2027-04-04T03:00Z"],
  ["Asia/Beirut", "2027-03-27T22:00Z"],
  ["Africa/Casablanca", "2027-02-07T02:00Z"],
  ["Asia/Kolkata", "2027-05-01T00:00Z"],
) as fc.Arbitrary<[string, string]>

test("runs around every change are those of a clock that is looked at each minute", () => {
  fc.assert(
    fc.property(patterns, changes, fc.integer({ min: -1_500, max: 200 }), (pattern, [zone, change], offset) => {
      const from = Date.parse(change) + offset * minute
      const to = from + 1.5 * day
      const found: number[] = []
      for (
        let at = nextDue({ cron: textOf(pattern), zone }, from);
        at !== undefined && at <= to;
        at = nextDue({ cron: textOf(pattern), zone }, at)
      )
        found.push(at)
      expect(found.map(utc)).toEqual(lookedAt(pattern, zone, from, to).map(utc))
    }),
    { numRuns: 60 },
  )
})

test("the next run is after the moment, and the same from every moment before it", () => {
  fc.assert(
    fc.property(
      patterns,
      fc.constantFrom(...zones),
      fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2030, 0) }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (pattern, zone, after, part) => {
        const timing = { cron: textOf(pattern), zone }
        const next = nextDue(timing, after)!
        expect(next).toBeGreaterThan(after)
        expect(nextDue(timing, Math.floor(after + part * (next - 1 - after)))).toBe(next)
      },
    ),
  )
})

test("a daily schedule runs once on every day of the wall clock, at any time, in any zone", () => {
  fc.assert(
    fc.property(fc.constantFrom(...zones), fc.integer({ min: 0, max: 1_439 }), (zone, time) => {
      const wall = wallOf(zone)
      const times = upcoming({ cron: `${time % 60} ${Math.floor(time / 60)} * * *`, zone }, Date.UTC(2027, 0, 1), 365)
      const days = times.map((at) => Math.floor((wall(at) * minute) / day))
      expect(days).toEqual(Array.from({ length: 365 }, (_, n) => days[0]! + n))
    }),
    { numRuns: 40 },
  )
})
