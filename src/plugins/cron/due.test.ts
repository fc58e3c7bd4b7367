import { expect, test } from "vitest"
import { plan, runAt, type DueSchedule } from "./due.ts"

const noon = Date.UTC(2027, 0, 1, 12)
const minute = 60_000
const minutely: DueSchedule = {
  key: "k",
  cron: "* * * * *",
  zone: "UTC",
  next: noon,
  jitter: 0,
  missed: "once",
  missedLimit: 3,
  grace: minute,
}

test("nothing is due before its time", () => {
  expect(plan(minutely, noon - 1)).toEqual({ ticks: [], next: noon, runAt: noon })
})

test("one tick in time is the same under every policy", () => {
  for (const missed of ["once", "skip", "all"] as const) {
    expect(plan({ ...minutely, missed }, noon + 20)).toEqual({
      ticks: [{ at: noon, push: true, missed: 0 }],
      next: noon + minute,
      runAt: noon + minute,
    })
  }
})

test("after an outage: once for all, none when too late, or each up to the limit", () => {
  const now = noon + 4 * minute + 30_000
  const ticks = (change: Partial<DueSchedule>) => plan({ ...minutely, ...change }, now).ticks
  expect(ticks({})).toEqual([{ at: noon + 4 * minute, push: true, missed: 4 }])
  expect(ticks({ missed: "skip" })).toEqual([{ at: noon + 4 * minute, push: true, missed: 4 }])
  expect(ticks({ missed: "skip", grace: 10_000 })).toEqual([{ at: noon + 4 * minute, push: false, missed: 4 }])
  expect(ticks({ missed: "all" })).toEqual([
    { at: noon + 2 * minute, push: true, missed: 2 },
    { at: noon + 3 * minute, push: true, missed: 0 },
    { at: noon + 4 * minute, push: true, missed: 0 },
  ])
})

test("years without a worker cost no years of counting", () => {
  const secondly = { ...minutely, cron: "* * * * * *", next: noon - 20 * 365 * 86_400_000 }
  const { ticks, next } = plan(secondly, noon)
  expect(ticks).toEqual([{ at: noon, push: true, missed: 9_999 }])
  expect(next).toBe(noon + 1_000)
  expect(plan({ ...secondly, missed: "all" }, noon).ticks.map(({ at }) => at)).toEqual([
    noon - 2_000,
    noon - 1_000,
    noon,
  ])
})

test("a tick is put off by its jitter, the same each time it is asked", () => {
  const jittery = { ...minutely, jitter: 30_000 }
  const due = runAt(jittery, noon)!
  expect(due).toBe(runAt(jittery, noon))
  expect(due).toBeGreaterThan(noon)
  expect(due).toBeLessThanOrEqual(noon + 30_000)
  expect(plan(jittery, due - 1).ticks).toEqual([])
  expect(plan(jittery, due).ticks).toEqual([{ at: noon, push: true, missed: 0 }])
  const spread = Array.from({ length: 1_000 }, (_, n) => runAt({ key: `k${n}`, jitter: 1_000 }, noon)! - noon)
  expect(Math.min(...spread)).toBeLessThan(50)
  expect(Math.max(...spread)).toBeGreaterThan(950)
  expect(Math.max(...spread)).toBeLessThanOrEqual(1_000)
})

test("an end that is over leaves nothing next", () => {
  expect(plan({ ...minutely, end: noon }, noon + 1)).toEqual({
    ticks: [{ at: noon, push: true, missed: 0 }],
    next: undefined,
    runAt: undefined,
  })
})
