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
