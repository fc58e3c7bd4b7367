import { expect, test } from "vitest"
import { monotonic } from "./clock.ts"

test("the clock never goes backwards", () => {
  let last = monotonic()
  for (let i = 0; i < 1_000; i++) {
    const now = monotonic()
    expect(now).toBeGreaterThanOrEqual(last)
    last = now
  }
})
