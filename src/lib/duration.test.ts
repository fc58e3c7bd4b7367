import fc from "fast-check"
import { expect, test } from "vitest"
import { formatDuration, milliseconds } from "./duration.ts"
import { isMillraceError } from "./error.ts"

function refusal(value: unknown, limits = {}): string {
  try {
    milliseconds(value as string, "poll", limits)
  } catch (error) {
    if (isMillraceError(error, "MILLRACE_BAD_DURATION")) return error.message
    throw error
  }
  throw new Error(`${String(value)} was accepted`)
}

test.each([
  [0, 0],
  [1500, 1500],
  ["250ms", 250],
  ["90s", 90_000],
  ["5m", 300_000],
  ["1.5h", 5_400_000],
  ["1.1h", 3_960_000],
  ["2d", 172_800_000],
  ["1w", 604_800_000],
  ["1h30m", 5_400_000],
  ["1d2h3m4s5ms", 93_784_005],
  ["0s", 0],
])("%j is %d milliseconds", (value, expected) => {
  expect(milliseconds(value, "poll")).toBe(expected)
})

test("fractions are rounded, and never down to nothing", () => {
  expect(milliseconds(1.6, "poll")).toBe(2)
  expect(milliseconds("0.001ms", "poll")).toBe(1)
})

test("a duration without a unit is refused with the near miss", () => {
  expect(refusal("15")).toBe('poll: "15" has no unit; did you mean "15s"?')
  expect(refusal("2", { min: 60_000 })).toContain('did you mean "2m"?')
})

test.each([
  ["10 minutes", "10m"],
  ["10 minuts", "10m"],
  ["5M", "5m"],
  ["1,5 hours", "1.5h"],
  ["1 hour and 30 minutes", "1h30m"],
  ["1h 30m", "1h30m"],
  ["30m1h", "1h30m"],
  ["2 days, 4 hrs", "2d4h"],
  [" 5s", "5s"],
])("%j is refused with the hint %j", (text, meant) => {
  expect(refusal(text)).toContain(`did you mean "${meant}"?`)
})

test.each(["", "s", "abc", "1x", "1m1m", "1 month", "PT5M", "1e3s", "+5s", "1".repeat(101), `${"1".repeat(99)}!`])(
  "%j is refused with examples",
  (text) => {
    expect(refusal(text)).toMatch(/^poll: .*Use milliseconds, or text with units such as "90s", "5m" or "1h30m"\.$/)
  },
)

test("negative and endless values are refused", () => {
  expect(refusal(-1)).toContain("-1 is negative")
  expect(refusal("-5s")).toContain('"-5s" is negative')
  expect(refusal(Number.NaN)).toContain("NaN is not a duration")
  expect(refusal(Number.POSITIVE_INFINITY)).toContain("Infinity is not a duration")
  for (const other of [null, true, {}, [], 5n]) expect(refusal(other)).toContain("is not a duration")
})

test("a value below the minimum is refused, and a number that looks like seconds gets the hint", () => {
  expect(refusal(15, { min: 1_000 })).toBe('poll: 15 milliseconds; did you mean "15s"? The minimum is 1 s.')
  expect(refusal("15ms", { min: 1_000 })).toBe('poll: "15ms"; the minimum is 1 s.')
  expect(refusal(0, { min: 1_000 })).toBe("poll: 0 milliseconds; the minimum is 1 s.")
  expect(milliseconds("1s", "poll", { min: 1_000, max: 1_000 })).toBe(1_000)
})

test("a value above the maximum is refused", () => {
  expect(refusal("2h", { max: 3_600_000 })).toContain('"2h" is above the maximum of 1 h.')
  expect(refusal("99999999w")).toContain("above the maximum")
})

test.each([
  [0, "0 ms"],
  [250, "250 ms"],
  [999.6, "1 s"],
  [1_500, "1.5 s"],
  [59_940, "59.9 s"],
  [59_999, "1 m"],
  [123_000, "2 m 3 s"],
  [3_599_999, "1 h"],
  [5_400_000, "1 h 30 m"],
  [86_399_999, "1 d"],
  [7_776_000_000, "90 d"],
  [-1_500, "-1.5 s"],
  [Number.POSITIVE_INFINITY, "forever"],
])("%d milliseconds are shown as %j", (ms, shown) => {
  expect(formatDuration(ms)).toBe(shown)
})

test("compound text is the sum of its parts", () => {
  const amounts = fc.tuple(fc.nat(50), fc.nat(400), fc.nat(99), fc.nat(99), fc.nat(99), fc.nat(9_999))
  fc.assert(
    fc.property(amounts, ([w, d, h, m, s, ms]) => {
      const sum = ((((w * 7 + d) * 24 + h) * 60 + m) * 60 + s) * 1_000 + ms
      expect(milliseconds(`${w}w${d}d${h}h${m}m${s}s${ms}ms`, "poll")).toBe(sum)
    }),
  )
})

test("any value is either whole milliseconds within the limits or refused by its code", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double(), fc.stringMatching(/^[0-9.,a-z ]{0,12}$/)), (value) => {
      try {
        const ms = milliseconds(value, "poll", { min: 10, max: 1e9 })
        expect(Number.isInteger(ms) && ms >= 10 && ms <= 1e9).toBe(true)
      } catch (error) {
        expect(isMillraceError(error, "MILLRACE_BAD_DURATION")).toBe(true)
      }
    }),
  )
})
