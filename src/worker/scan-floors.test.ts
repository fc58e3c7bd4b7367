import fc from "fast-check"
import { expect, test } from "vitest"
import { noFloors, type ClaimedRow, type Floors } from "../postgres/jobs.ts"
import { ScanFloors } from "./scan-floors.ts"

interface Key {
  readonly rank: number
  readonly ready: number
  readonly id: string
}

const row = ({ rank, ready, id }: Key): ClaimedRow => ({
  id,
  rank,
  ready,
  name: "n",
  attempts: 0,
  crashes: 0,
  max_attempts: 5,
  claims: 1,
  timeout_ms: null,
  payload: null,
  rest: null,
})

const behind = (a: Key, b: Key): number =>
  a.rank - b.rank || a.ready - b.ready || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)

/** Whether a scan from these floors comes across a key: the condition of `cycle_1`, segment by segment. */
function seen(key: Key, { ranks, ready, ids }: Floors): boolean {
  const lowest = { rank: -Infinity, ready: -Infinity, id: "" }
  return [-1, ...ranks.keys()].some((i) => {
    const from = i < 0 ? lowest : { rank: ranks[i]!, ready: ready[i]!, id: ids[i]! }
    const upTo = i + 1 < ranks.length ? ranks[i + 1]! - 1 : Infinity
    return behind(key, from) > 0 && key.rank <= upTo
  })
}

const key = fc.record({
  rank: fc.integer({ min: -5, max: 5 }),
  ready: fc.integer({ min: 0, max: 20 }),
  id: fc.integer({ min: 0, max: 99 }).map((n) => String(n).padStart(2, "0")),
})
const replies = fc.array(fc.array(key, { maxLength: 10 }), { maxLength: 10 })

/** Floors that have learnt from these replies, with a full scan so dear that none is due. */
function learned(all: readonly (readonly Key[])[]): { floors: ScanFloors; used: Floors } {
  const floors = new ScanFloors()
  floors.learn([], noFloors, 1e6, 0)
  for (const keys of all) floors.learn([...keys].sort(behind).map(row), floors.next(1), 0, 1)
  // The first reply that teaches something is a full scan's, like each before it.
  floors.learn([], noFloors, 1e6, 0)
  return { floors, used: floors.next(1) }
}

test("the first scan is a full one", () => {
  expect(new ScanFloors().next()).toEqual(noFloors)
})

test("floors are the last claimed key of each rank, in the order of ranks", () => {
  const { used } = learned([
    [
      { rank: -3, ready: 1, id: "b" },
      { rank: 0, ready: 1, id: "a" },
      { rank: 0, ready: 1, id: "c" },
    ],
    [{ rank: 0, ready: 2, id: "a" }],
  ])
  expect(used).toEqual({ ranks: [-3, 0], ready: [1, 2], ids: ["b", "a"] })
})

test("a floor never hides a key of another rank", () => {
  fc.assert(
    fc.property(replies, key, (all, other) => {
      fc.pre(!all.flat().some(({ rank }) => rank === other.rank))
      expect(seen(other, learned(all).used)).toBe(true)
    }),
  )
})

test("a floor hides nothing behind the last claimed key of its rank, and all that is before it", () => {
  fc.assert(
    fc.property(replies, key, (all, other) => {
      const claimed = all.flat().filter(({ rank }) => rank === other.rank)
      fc.pre(claimed.length > 0)
      const last = claimed.reduce((a, b) => (behind(a, b) > 0 ? a : b))
      expect(seen(other, learned(all).used)).toBe(behind(other, last) > 0)
    }),
  )
})

test("a floor never moves back", () => {
  const { floors } = learned([[{ rank: 0, ready: 5, id: "m" }]])
  floors.learn([row({ rank: 0, ready: 4, id: "z" })], noFloors, 1e6, 0)
  floors.learn([row({ rank: 0, ready: 5, id: "a" })], noFloors, 1e6, 0)
  expect(floors.next(1)).toEqual({ ranks: [0], ready: [5], ids: ["m"] })
})

test("a job that crashed twice sets no floor", () => {
  const floors = new ScanFloors()
  const crashed = { ...row({ rank: 0, ready: 9, id: "z" }), crashes: 2 }
  floors.learn([row({ rank: 0, ready: 1, id: "a" }), crashed], noFloors, 1e6, 0)
  expect(floors.next(1)).toEqual({ ranks: [0], ready: [1], ids: ["a"] })
})

test("more ranks than are worth it make every scan a full one again", () => {
  const { used } = learned([Array.from({ length: 40 }, (_, rank) => ({ rank, ready: 1, id: "a" }))])
  expect(used).toEqual(noFloors)
})

test("where full scans are free, every scan is one", () => {
  const floors = new ScanFloors()
  for (const now of [0, 1, 2]) {
    expect(floors.next(now)).toEqual(noFloors)
    floors.learn([row({ rank: 0, ready: now, id: "a" })], noFloors, 0, now)
  }
})

test("full scans take at most a twentieth of the time, unless 10 s are over", () => {
  const costs = fc.array(fc.double({ min: 0.01, max: 400, noNaN: true }), { minLength: 50, maxLength: 300 })
  fc.assert(
    fc.property(costs, (all) => {
      const floors = new ScanFloors()
      let now = 0
      let cost = 0
      let fullEnded = -Infinity
      for (const next of all) {
        const used = floors.next(now)
        const isFull = used.ranks.length === 0
        if (isFull) {
          // It began no sooner than the last one had earned.
          expect(now - fullEnded).toBeGreaterThanOrEqual(Math.min(20 * cost, 10_000) - 1e-6)
          cost = next
          now += cost
          fullEnded = now
        } else {
          expect(now - fullEnded).toBeLessThanOrEqual(10_000)
          now += 5
        }
        floors.learn([row({ rank: 0, ready: now, id: "a" })], used, isFull ? cost : 5, now)
      }
    }),
  )
})

test("a full scan is due at the latest after 10 s, however dear it was", () => {
  const floors = new ScanFloors()
  floors.learn([row({ rank: 0, ready: 1, id: "a" })], noFloors, 1e9, 0)
  expect(floors.untilFull(0)).toBe(10_000)
  expect(floors.next(9_999).ranks).toEqual([0])
  expect(floors.next(10_000)).toEqual(noFloors)
})
