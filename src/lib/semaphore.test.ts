import { expect, test } from "vitest"
import { deferred } from "./deferred.ts"
import { Semaphore } from "./semaphore.ts"

test("no more than the permits run at a time, in the order of asking, and a failure gives its permit back", async () => {
  const semaphore = new Semaphore(2)
  const gates = Array.from({ length: 5 }, () => deferred<void>())
  const started: number[] = []
  const runs = gates.map((gate, index) =>
    semaphore.with(async () => {
      started.push(index)
      await gate.promise
      if (index === 0) throw new Error("first fails")
      return index
    }),
  )
  runs[0]!.catch(() => {})
  await Promise.resolve()
  expect(started).toEqual([0, 1])
  gates[0]!.resolve()
  await expect(runs[0]).rejects.toThrow("first fails")
  expect(started).toEqual([0, 1, 2])
  for (const gate of gates) gate.resolve()
  expect(await Promise.all(runs.slice(1))).toEqual([1, 2, 3, 4])
  expect(started).toEqual([0, 1, 2, 3, 4])
})
