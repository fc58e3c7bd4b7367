import { expect, test } from "vitest"
import { digest, planFaults } from "../../faults/plan.ts"
import { faultKinds, profiles } from "../../faults/profiles.ts"
import { timing } from "../../faults/timing.ts"

const all = profiles.all!

test("a seed that is played again gives the same faults, and another one gives others", () => {
  expect(planFaults(all, 7, 60_000)).toEqual(planFaults(all, 7, 60_000))
  expect(digest(planFaults(all, 7, 60_000))).not.toBe(digest(planFaults(all, 8, 60_000)))
})

test("with enough seeds every fault comes, in each way a reply can be lost", () => {
  const faults = Array.from({ length: 40 }, (_, seed) => planFaults(all, seed, 60_000)).flat()
  expect(new Set(faults.map((fault) => fault.kind))).toEqual(new Set(faultKinds))
  const ways = new Set(faults.flatMap(({ reply }) => (reply ? [`${reply.of} ${reply.how}`] : [])))
  expect(ways.size).toBe(12)
})

test("nothing is done to a process that another fault still holds, and short faults leave time for a renewal", () => {
  for (const profile of Object.values(profiles)) {
    const last = new Map<string, number>()
    for (const { target, at, for: ms } of planFaults(profile, 3, 120_000)) {
      expect(at).toBeGreaterThanOrEqual((last.get(target) ?? -Infinity) + 2 * timing.heartbeat - 200)
      last.set(target, at + ms)
    }
  }
})
