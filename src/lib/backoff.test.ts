import fc from "fast-check"
import { expect, test } from "vitest"
import { type Backoff, backoffDelay } from "./backoff.ts"

const plain: Backoff = { initial: 100, factor: 2, max: 10_000, jitter: "none" }

test("the wait doubles from the initial one up to the maximum", () => {
  expect([0, 1, 2, 3, 7, 8, 1e9].map((failures) => backoffDelay(plain, failures))).toEqual([
    0, 100, 200, 400, 6_400, 10_000, 10_000,
  ])
})

test("full jitter draws from zero to the exponential value", () => {
  const jittered: Backoff = { ...plain, jitter: "full" }
  expect(backoffDelay(jittered, 3, () => 0)).toBe(0)
  expect(backoffDelay(jittered, 3, () => 0.5)).toBe(200)
  expect(backoffDelay(jittered, 3, () => 1 - Number.EPSILON)).toBe(400)
})

test("a wait that does not grow stays the same for ever", () => {
  expect(backoffDelay({ ...plain, factor: 1 }, Number.POSITIVE_INFINITY)).toBe(100)
})

test("the wait stays within its bounds for any setting and any number of failures", () => {
  const settings = fc.record({
    initial: fc.integer({ min: 0, max: 1e6 }),
    factor: fc.double({ min: 1, max: 1e3, noNaN: true }),
    max: fc.integer({ min: 0, max: 1e9 }),
    jitter: fc.constantFrom("full" as const, "none" as const),
  })
  const failures = fc.oneof(
    fc.integer({ min: -5, max: 50 }),
    fc.constantFrom(1e308, Number.POSITIVE_INFINITY, Number.NaN),
  )
  fc.assert(
    fc.property(settings, failures, (backoff, count) => {
      const wait = backoffDelay(backoff, count)
      expect(Number.isInteger(wait) && wait >= 0 && wait <= backoff.max).toBe(true)
    }),
  )
})
