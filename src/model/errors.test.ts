import fc from "fast-check"
import { expect, test } from "vitest"
import { errorRecord } from "./errors.ts"

test("whatever was thrown, its record is small, and can be written as JSON", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.anything(),
        fc.string().map((text) => new Error(text)),
      ),
      fc.integer(),
      (thrown, attempt) => {
        const record = errorRecord(thrown, attempt)
        expect(record).toMatchObject({ attempt, name: expect.any(String), message: expect.any(String) })
        expect(JSON.stringify(record).length).toBeLessThan(80_000)
      },
    ),
  )
})

test("an error is kept with its name, its message, its code and its stack", () => {
  const error = Object.assign(new TypeError("not a number"), { code: "E_NAN" })
  expect(errorRecord(error, 3)).toEqual({
    attempt: 3,
    name: "TypeError",
    message: "not a number",
    code: "E_NAN",
    stack: error.stack,
  })
})

test("a code that is no text is left out", () => {
  expect(errorRecord(Object.assign(new Error("x"), { code: 5 }), 1)).not.toHaveProperty("code")
})

test("long parts are cut, and say how long they were", () => {
  const error = new Error("m".repeat(3_000))
  error.stack = "s".repeat(9_000)
  const record = errorRecord(error, 1)
  expect(record.message).toBe(`${"m".repeat(2_000)}… (3000 characters)`)
  expect(record.stack).toBe(`${"s".repeat(8_000)}… (9000 characters)`)
})

test("up to five causes are added to the stack", () => {
  let error = new Error("cause 9")
  for (let n = 8; n >= 0; n--) error = new Error(`cause ${n}`, { cause: error })
  const { stack } = errorRecord(error, 1)
  expect(Array.from(stack!.matchAll(/caused by Error: cause (\d)/g), (match) => match[1])).toEqual([
    "1",
    "2",
    "3",
    "4",
    "5",
  ])
})

test("an error that is its own cause is described", () => {
  const error = new Error("round")
  error.cause = error
  expect(errorRecord(error, 1).message).toBe("round")
})
