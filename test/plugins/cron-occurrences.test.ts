import fc from "fast-check"
import { expect, test } from "vitest"
import { nextDue, upcoming } from "../../src/plugins/cron/occurrences.ts"
import { lookedAt, textOf, wallOf, type Pattern } from "../support/wall-clock.ts"

const utc = (at: number): string => new Date(at).toISOString().slice(0, 16).replace("T", " ")

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
    { numRuns: 25 },
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
    { numRuns: 15 },
  )
})
