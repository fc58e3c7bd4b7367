import { expect, test } from "vitest"
import { mutants } from "./store.ts"
import { run } from "./run.ts"

/** Runs one seed after another until something breaks, or so many steps were taken. */
function search(steps: number, mutant?: (typeof mutants)[number]) {
  const total = { steps: 0, injected: 0, broken: undefined as string | undefined }
  for (let seed = 1; total.steps < steps && !total.broken; seed++) {
    const outcome = run(seed, mutant)
    total.steps += outcome.steps
    total.injected += outcome.injected
    total.broken = outcome.broken
  }
  return total
}

test("in three million steps with faults at every call nothing is lost, doubled, or done by two", () => {
  const { steps, injected, broken } = search(3_000_000)
  expect(broken).toBeUndefined()
  expect(steps).toBeGreaterThanOrEqual(3_000_000)
  expect(injected).toBeGreaterThan(10_000)
}, 120_000)

test("a seed gives the same run again", () => {
  expect(run(42)).toEqual(run(42))
  expect(run(42).steps).not.toBe(run(43).steps)
})

test.each(mutants)('the checker finds what is wrong with "%s"', (mutant) => {
  const { broken } = search(2_000_000, mutant)
  expect(broken).toMatch(/^seed \d+: /)
  expect(broken!.split("\n").length).toBeGreaterThan(10)
})
