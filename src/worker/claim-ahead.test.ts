import fc from "fast-check"
import { expect, test } from "vitest"
import { ClaimAhead } from "./claim-ahead.ts"

/** Looks at a claim-ahead at times of the test's own. */
function watched(fixed?: number) {
  const ahead = new ClaimAhead(fixed)
  let now = performance.now() + 1_000
  ahead.target(now) // its time starts here
  return {
    /** Lets so many jobs finish in so many milliseconds, and looks. */
    after(ms: number, finished: number): number {
      for (let i = 0; i < finished; i++) ahead.finished()
      now += ms
      return ahead.target(now)
    },
  }
}

test("a number that the queue asks for stays, whatever finishes", () => {
  const ahead = watched(7)
  expect([ahead.after(0, 0), ahead.after(10, 5_000), ahead.after(10_000, 0)]).toEqual([7, 7, 7])
  expect(watched(0).after(100, 100_000)).toBe(0)
})

test("nothing is claimed ahead while nothing finishes", () => {
  const ahead = watched()
  expect([1, 10, 1_000, 100_000].map((ms) => ahead.after(ms, 0))).toEqual([0, 0, 0, 0])
})

test("a steady rate settles at what finishes in 50 ms", () => {
  const ahead = watched()
  const looks = Array.from({ length: 20 }, () => ahead.after(10, 20)) // two per millisecond
  expect(looks.at(-1)).toBe(100)
})

test("it grows to at most twice as many per look", () => {
  const ahead = watched()
  expect(ahead.after(5, 3)).toBe(6) // measured: 30
  expect(ahead.after(5, 3)).toBe(12)
  expect(ahead.after(5, 3)).toBe(24)
  expect(ahead.after(5, 3)).toBe(30)
})

test("it falls at once", () => {
  const ahead = watched()
  for (let i = 0; i < 20; i++) ahead.after(10, 100)
  expect(ahead.after(10, 100)).toBe(500)
  expect(ahead.after(10, 1)).toBe(5)
  expect(ahead.after(10, 0)).toBe(0)
})

test("looks that come too fast change nothing, and lose nothing", () => {
  const ahead = watched()
  expect([ahead.after(1, 10), ahead.after(1, 10), ahead.after(1, 10)]).toEqual([0, 0, 0])
  expect(ahead.after(1, 10)).toBe(80) // 40 in 4 ms: twice as many as have finished is the bound
})

test("it is a whole number from 0 to 4,000, and never more than finish in 50 ms", () => {
  const look = fc.record({ ms: fc.integer({ min: 4, max: 10_000 }), finished: fc.integer({ min: 0, max: 5_000 }) })
  fc.assert(
    fc.property(fc.array(look, { maxLength: 20 }), (looks) => {
      const ahead = watched()
      for (const { ms, finished } of looks) {
        const target = ahead.after(ms, finished)
        expect(Number.isInteger(target)).toBe(true)
        expect(target).toBeGreaterThanOrEqual(0)
        expect(target).toBeLessThanOrEqual(Math.min(4_000, (finished / ms) * 50 + 1e-6))
      }
    }),
  )
})
