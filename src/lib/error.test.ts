import { expect, test } from "vitest"
import { isMillraceError, MillraceError } from "./error.ts"

test("an error carries its code, message, name and cause", () => {
  const cause = new Error("below")
  const error = new MillraceError("MILLRACE_X", "went wrong", { cause })
  expect(error).toMatchObject({ code: "MILLRACE_X", message: "went wrong", name: "MillraceError", cause })
  expect(error.stack).toMatch(/^MillraceError: went wrong/)
  expect(Object.keys(error)).toEqual(["code"])
})

test("an error without a cause has no cause property", () => {
  expect("cause" in new MillraceError("MILLRACE_X", "x")).toBe(false)
})

test("an error of another copy of the package is recognised", () => {
  expect(isMillraceError({ code: "MILLRACE_X", message: "" })).toBe(true)
  expect(isMillraceError(Object.assign(new Error("x"), { code: "MILLRACE_X" }), "MILLRACE_X")).toBe(true)
})

test("an error of another code or package is not recognised", () => {
  expect(isMillraceError(new MillraceError("MILLRACE_X", ""), "MILLRACE_Y")).toBe(false)
  for (const other of [new Error("x"), { code: "ENOENT", message: "" }, { code: 1, message: "" }, null, "MILLRACE_X"]) {
    expect(isMillraceError(other)).toBe(false)
  }
})
