import { expect, test } from "vitest"
import { quote } from "./quote.ts"

test("values are shown short and by kind", () => {
  expect([1, null, undefined, true, 1n, () => 1, Symbol("s")].map(quote)).toEqual(
    ["1", "null", "undefined", "true", "1n", "a function", "a symbol"], // prettier-ignore
  )
  expect([{}, [], new Map(), Object.create(null)].map(quote)).toEqual(
    ["an object", "an array", "an instance of Map", "an object"], // prettier-ignore
  )
})

test("long text is cut and control characters are escaped", () => {
  expect(quote("a\nb")).toBe('"a\\nb"')
  expect(quote("x".repeat(100))).toBe(`"${"x".repeat(60)}"…`)
})

test("a hostile proxy is only an object", () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  expect(quote(proxy)).toBe("an object")
})
