import fc from "fast-check"
import { expect, test } from "vitest"
import { didYouMean, nearest } from "./nearest.ts"

const names = ["every", "concurrency", "maxAttempts", "timeout"]

test("a typo finds the name that was meant", () => {
  expect(nearest("evrey", names)).toBe("every")
  expect(nearest("concurency", names)).toBe("concurrency")
  expect(nearest("timeouts", names)).toBe("timeout")
})

test("letter case and separators count for nothing", () => {
  expect(nearest("max_attempts", names)).toBe("maxAttempts")
  expect(nearest("MAX-ATTEMPTS", names)).toBe("maxAttempts")
})

test("a word that is near nothing finds nothing", () => {
  expect(nearest("colour", names)).toBeUndefined()
  expect(nearest("", names)).toBeUndefined()
  expect(nearest("x", ["y"])).toBeUndefined()
  expect(nearest("x".repeat(10_000), ["x".repeat(10_000)])).toBeUndefined()
})

test("the nearest wins, and the first of equally near ones", () => {
  expect(nearest("cats", ["bats", "cat", "cats"])).toBe("cats")
  expect(nearest("cat", ["bat", "hat"])).toBe("bat")
})

test("the tail of a message is a question or nothing", () => {
  expect(didYouMean("evry", names)).toBe(' Did you mean "every"?')
  expect(didYouMean("colour", names)).toBe("")
})

test("a swap of neighbours is one edit", () => {
  expect(nearest("abdc", ["abcd"])).toBe("abcd") // two edits would be more than a third
})

test("any candidate is nearest to itself", () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z]{3,20}$/), { minLength: 1 }), (words) => {
      for (const word of words) expect(nearest(word, words)).toBe(word)
    }),
  )
})
