import { expect, test } from "vitest"
import { describeTiming } from "./describe.ts"

test.each([
  ["0 9 * * 1-5", "every weekday at 09:00"],
  ["0 9 * * MON-FRI", "every weekday at 09:00"],
  ["* * * * *", "every minute"],
  ["*/15 * * * *", "every 15 minutes"],
  ["@hourly", "every hour at minute 0"],
  ["30 * * * 6", "every hour at minute 30, every Saturday"],
  ["@daily", "every day at 00:00"],
  ["0 6,18 * * *", "every day at 06:00 and 18:00"],
  ["0 0 1 * *", "on day 1 of every month at 00:00"],
  ["0 0 L * *", "on the last day of every month at 00:00"],
  ["0 0 LW 12 *", "on the last weekday in December at 00:00"],
  ["0 8 15W * *", "on the weekday nearest to day 15 of every month at 08:00"],
  ["0 9 * * 5#2", "on the second Friday at 09:00"],
  ["0 9 * * 5L", "on the last Friday at 09:00"],
  ["0 0 13 * +5", "on day 13 and every Friday of every month at 00:00"],
  ["*/10 * * * * *", "every 10 seconds"],
  ["30 0 9 * * 0", "every Sunday at 09:00:30"],
  ["*/5 9-17 * * 1-5", "every 5 minutes, in the hours 9-17, every weekday"],
  ["nonsense", "nonsense"],
])("%s is %s", (cron, words) => {
  expect(describeTiming({ cron, zone: "UTC" })).toBe(words)
})

test("an interval, and a zone", () => {
  expect(describeTiming({ every: 90_000, zone: "UTC" })).toBe("every 1 m 30 s")
  expect(describeTiming({ cron: "0 9 * * *", zone: "Asia/Tokyo" })).toBe("every day at 09:00, Asia/Tokyo")
})
