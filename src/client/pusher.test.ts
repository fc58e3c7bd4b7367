import fc from "fast-check"
import { expect, test } from "vitest"
import type { NewJob } from "../model/job.ts"
import { batches, maxRows } from "./pusher.ts"

const job = (length: number) => ({ payload: { length } }) as unknown as NewJob
const bytes = (jobs: readonly NewJob[]) => jobs.reduce((sum, one) => sum + one.payload.length, 0)

test("batches keep every job, in order, and none is larger than a statement may be", () => {
  const size = fc.oneof(
    { weight: 30, arbitrary: fc.integer({ min: 1, max: 50 }) },
    fc.integer({ min: 1, max: 9_000_000 }),
  )
  fc.assert(
    fc.property(fc.array(size, { maxLength: 2_500 }), (sizes) => {
      const jobs = sizes.map(job)
      const made = [...batches(jobs)]
      expect(made.flat()).toEqual(jobs)
      for (const batch of made) {
        expect(batch.length).toBeGreaterThan(0)
        expect(batch.length).toBeLessThanOrEqual(maxRows)
        if (batch.length > 1) expect(bytes(batch)).toBeLessThanOrEqual(8_000_000)
      }
    }),
    { numRuns: 30 },
  )
})

test("2,500 small jobs are three statements", () => {
  expect([...batches(Array.from({ length: 2_500 }, () => job(1)))].map((batch) => batch.length)).toEqual([
    1_000, 1_000, 500,
  ])
})
