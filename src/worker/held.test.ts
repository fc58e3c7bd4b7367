import { expect, test } from "vitest"
import { Held } from "./held.ts"
import type { Running } from "./running.ts"

const claim = (id: string, token: string) => ({ id, token }) as Running

test("a newer claim of a job takes the place of the older one, which is returned", () => {
  const held = new Held(() => false)
  const older = claim("a", "1")
  const newer = claim("a", "2")
  expect(held.add(older)).toBeUndefined()
  expect(held.add(newer)).toBe(older)
  expect(held.get("a")).toBe(newer)
  expect([held.has("a", "1"), held.has("a", "2")]).toEqual([false, true])
  held.remove(older)
  expect(held.all()).toEqual([newer])
  held.remove(newer)
  expect(held.all()).toEqual([])
})

test("it is drained once nothing is held and nothing is under way", async () => {
  let busy = true
  const held = new Held(() => busy)
  const one = claim("a", "1")
  held.add(one)
  let drained = 0
  const both = Promise.all([held.drained(), held.drained()]).then(() => (drained += 1))
  held.remove(one)
  held.check()
  await Promise.resolve()
  expect(drained).toBe(0)
  busy = false
  held.check()
  await both
  await held.drained()
  expect(drained).toBe(1)
})
