import fc from "fast-check"
import { expect, test } from "vitest"
import { RemoteClock } from "./remote-clock.ts"

test("nothing is known before the first answer", () => {
  expect(new RemoteClock().offset).toBeUndefined()
})

test("the offset is never wrong by more than half the round trip", () => {
  const ms = fc.double({ min: 0, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(fc.double({ min: -1e9, max: 1e12, noNaN: true }), ms, ms, ms, (truth, sent, there, back) => {
      const clock = new RemoteClock()
      clock.learn(truth + sent + there, sent, sent + there + back)
      expect(Math.abs(clock.offset! - truth)).toBeLessThanOrEqual((there + back) / 2 + 1e-3)
      expect(clock.error).toBeCloseTo((there + back) / 2, 3)
    }),
  )
})

test("a slow answer does not replace a quick one, until that one has grown old", () => {
  const clock = new RemoteClock()
  clock.learn(1_000, 0, 2)
  clock.learn(9_000, 100, 200)
  expect(clock.offset).toBe(999)
  clock.learn(100_000, 70_000, 70_100)
  expect(clock.offset).toBe(29_950)
})

test("a quicker answer, or one about as quick, replaces the last", () => {
  const clock = new RemoteClock()
  clock.learn(1_000, 0, 10)
  clock.learn(1_100, 100, 102)
  expect([clock.offset, clock.error]).toEqual([999, 1])
  clock.learn(1_201, 200, 202)
  expect(clock.offset).toBe(1_000)
})
