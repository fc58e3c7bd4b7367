import fc from "fast-check"
import { expect, test } from "vitest"
import { bucketOf, Buckets, merge, octaveBound, percentile, valueOf } from "./histogram.ts"

const value = fc.double({ min: 0.001, max: 1e12, noNaN: true })
const values = fc.array(fc.oneof(value, fc.double({ min: 0.1, max: 1e5, noNaN: true })), {
  minLength: 1,
  maxLength: 200,
})

function gathered(all: readonly number[]): number[] {
  const buckets = new Buckets()
  for (const one of all) buckets.add(one)
  return buckets.take()
}

const truth = (all: readonly number[], share: number) =>
  all.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * all.length) - 1)]!

test("a value is told from its bucket to 2.2 %", () => {
  fc.assert(
    fc.property(value, (one) => {
      expect(Math.abs(valueOf(bucketOf(one)) / one - 1)).toBeLessThan(0.022)
    }),
  )
})

test("larger values are never in a lower bucket", () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      expect(bucketOf(Math.max(a, b))).toBeGreaterThanOrEqual(bucketOf(Math.min(a, b)))
    }),
  )
})

test("percentiles are exact to 2.2 %, whatever the values", () => {
  fc.assert(
    fc.property(values, fc.constantFrom(0.5, 0.95, 0.99, 1), (all, share) => {
      const exact = truth(all, share)
      expect(Math.abs(percentile(gathered(all), share)! / exact - 1)).toBeLessThan(0.022)
    }),
  )
})

test("two histograms added are the histogram of all values, in any order and grouping", () => {
  fc.assert(
    fc.property(values, values, values, (a, b, c) => {
      const [x, y, z] = [gathered(a), gathered(b), gathered(c)] as const
      const all = gathered([...a, ...b, ...c])
      expect(merge(merge(x, y), z)).toEqual(all)
      expect(merge(z, merge(y, x))).toEqual(all)
      expect(merge(x, [])).toEqual(x)
    }),
  )
})

test("what was taken is taken once, and comes in the order of the buckets", () => {
  fc.assert(
    fc.property(values, values, (first, second) => {
      const buckets = new Buckets()
      for (const one of first) buckets.add(one)
      expect(buckets.take()).toEqual(gathered(first))
      for (const one of second) buckets.add(one)
      const pairs = buckets.take()
      expect(pairs).toEqual(gathered(second))
      expect(buckets.take()).toEqual([])
      const order = pairs.filter((_, index) => index % 2 === 0)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }),
  )
})

test("a scraper's buckets are sums of ours, exactly", () => {
  fc.assert(
    fc.property(values, (all) => {
      const buckets = new Buckets()
      for (const one of all) buckets.add(one)
      let below = 0
      for (const [octave, count] of buckets.octaves.entries()) {
        below += count
        // A value on a bound by a hair may fall to either side.
        const bound = octaveBound(octave)
        expect(below).toBeGreaterThanOrEqual(all.filter((one) => one < bound * (1 - 1e-9)).length)
        if (octave < buckets.octaves.length - 1)
          expect(below).toBeLessThanOrEqual(all.filter((one) => one <= bound * (1 + 1e-9)).length)
      }
      expect(below).toBe(all.length)
    }),
  )
})

test("what is too small or too large counts at the end", () => {
  expect([bucketOf(0), bucketOf(1e-9), bucketOf(1e300)]).toEqual([0, 0, 800])
  expect(percentile([], 0.5)).toBeUndefined()
})
