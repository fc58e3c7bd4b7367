import fc from "fast-check"
import { expect, test } from "vitest"
import { encodeJson, sanitizeJson } from "./json.ts"

const NUL_ESCAPE = /(?<!\\)(?:\\\\)*\\u0000/
const LONE_ESCAPE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/i
const storable = (text: string) => !NUL_ESCAPE.test(text) && !LONE_ESCAPE.test(text)

const cycle: Record<string, unknown> = { a: {} }
cycle["a"] = [{ cycle }]
const deep = (levels: number) => {
  let value: unknown = 1
  for (let i = 0; i < levels; i++) value = [value]
  return value
}
const throwing = {
  toJSON() {
    throw new Error("boom")
  },
}
const fail = (): never => {
  throw new Error("boom")
}
const getter = {
  get x() {
    throw new Error("boom")
  },
}

test.each([
  ["an object", { a: [1, "x", null, true], b: { c: -0.5 } }],
  ["a scalar", 5],
  ["null", null],
  ["text with an emoji", "😀"],
  ["a backslash before u0000", "\\u0000 and \\ud800"],
  ["an object without a prototype", Object.assign(Object.create(null), { a: 1 })],
  ["a key called __proto__", JSON.parse('{"__proto__": 1}')],
  ["a class instance", new (class Point { x = 1 })()], // prettier-ignore
  ["a date", new Date(0)],
  ["a shared part", ((part) => [part, part])({ a: 1 })],
  ["boxed primitives", [new Number(1), new String("a"), new Boolean(false)]], // oxlint-disable-line
  ["a buffer", Buffer.from("a")],
  ["an empty class instance", new (class Empty { m() {} })()], // prettier-ignore
])("%s is encoded as JSON.stringify does", (_name, value) => {
  const text = JSON.stringify(value)
  expect(encodeJson(value)).toEqual({ text, bytes: Buffer.byteLength(text) })
})

test("undefined properties are left out, and undefined in a list is null", () => {
  expect(encodeJson({ a: undefined, b: [undefined] })).toEqual({ text: '{"b":[null]}', bytes: 12 })
})

test("bytes count UTF-8", () => {
  expect(encodeJson("é😀")).toMatchObject({ bytes: 8 })
})

test.each([
  ["undefined", undefined, "is undefined", "$"],
  ["a function", () => 1, "is a function", "$"],
  ["a function deep inside", { a: [0, 1, 2, { b: () => 1 }] }, "is a function", "$.a[3].b"],
  ["a symbol", { a: Symbol("s") }, "is a symbol", "$.a"],
  ["a bigint", [5n], "is a bigint", "$[0]"],
  ["NaN", { a: { "b c": Number.NaN } }, "is NaN", '$.a["b c"]'],
  ["an infinity", [null, -Infinity], "is -Infinity", "$[1]"],
  ["a boxed NaN", { a: new Number(Number.NaN) }, "is NaN", "$.a"], // oxlint-disable-line
  ["text with U+0000", { a: "x\0y" }, "contains the character U+0000, which PostgreSQL cannot store", "$.a"],
  ["text with half a pair", { a: "\ud83d" }, "contains half a surrogate pair, which PostgreSQL cannot store", "$.a"],
  [
    "a key with U+0000",
    { a: { "k\0": 1 } },
    "has a key that contains the character U+0000, which PostgreSQL cannot store",
    "$.a",
  ],
  [
    "a key with half a pair",
    { "\udc00": 1 },
    "has a key that contains half a surrogate pair, which PostgreSQL cannot store",
    "$",
  ],
  ["a cycle", cycle, "contains itself", "$.a[0].cycle"],
  ["a toJSON that throws", { a: throwing }, "has a toJSON that threw: boom", "$.a"],
  ["a getter that throws", { a: getter }, "has a getter that threw: boom", "$.a.x"],
  ["a toJSON that yields a bigint", { a: { toJSON: () => ({ b: 1n }) } }, "is a bigint", "$.a.b"],
  ["a toJSON that yields NaN", { a: { toJSON: () => Number.NaN } }, "is NaN", "$.a"],
  ["a Map", { a: new Map([[1, 2]]) }, "is of class Map, which JSON writes as {}", "$.a"],
  ["an Error", new Error("x"), "is of class Error, which JSON writes as {}", "$"],
  ["an invalid Date", { at: new Date(Number.NaN) }, "is an invalid Date", "$.at"],
])("%s is refused with its path", (_name, value, problem, path) => {
  expect(encodeJson(value)).toEqual({ problem, path })
})

test("a toJSON that hides itself is undefined", () => {
  expect(encodeJson({ toJSON: () => undefined })).toEqual({ problem: "is undefined", path: "$" })
  expect(encodeJson({ a: { toJSON: () => undefined } })).toEqual({ text: "{}", bytes: 2 })
})

test("a thousand levels are encoded, and more are refused instead of overflowing", () => {
  expect(encodeJson(deep(1_000))).toHaveProperty("text")
  expect(encodeJson(deep(1_001))).toHaveProperty("problem", "is nested deeper than 1000 levels")
  expect(encodeJson(deep(100_000))).toHaveProperty("problem", "is nested deeper than 1000 levels")
})

test("an object that refuses to be read is a problem and no exception", () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  expect(encodeJson({ proxy })).toHaveProperty("problem")
  expect(sanitizeJson({ proxy, a: 1 }, 1_000)).toMatch(/^\{"proxy":"\[unreadable: .*\]","a":1\}$/)
  const unreadable = {
    toJSON() {
      // oxlint-disable-next-line only-throw-error
      throw { toString: () => fail() }
    },
  }
  expect(encodeJson(unreadable)).toHaveProperty("problem")
  expect(sanitizeJson(unreadable, 1_000)).toContain("unreadable")
})

const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  key: fc.string({ unit: "binary" }),
  values: [
    fc.string({ unit: "binary" }),
    fc.constantFrom("\0", "\ud800", "\\u0000", () => 1, Symbol("x")),
    fc.double(),
  ],
})

test("whatever is encoded is what JSON.stringify writes, can be stored and parses back", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), anything), (value) => {
      const result = encodeJson(value)
      if (!("text" in result)) {
        expect(result.problem).not.toBe("")
        return
      }
      expect(result.text).toBe(JSON.stringify(value))
      expect(result.bytes).toBe(Buffer.byteLength(result.text))
      expect(storable(result.text)).toBe(true)
      JSON.parse(result.text)
    }),
    { numRuns: 2_000 },
  )
})

test("plain JSON without bad characters is always encoded", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "grapheme" }), (value) => {
      expect(JSON.parse((encodeJson(value) as { text: string }).text)).toEqual(JSON.parse(JSON.stringify(value)))
    }),
  )
})

test("whatever is sanitized can be stored, parses back and stays within its bytes", () => {
  fc.assert(
    fc.property(anything, fc.integer({ min: 64, max: 2_000 }), (value, maxBytes) => {
      const text = sanitizeJson(value, maxBytes)
      expect(storable(text)).toBe(true)
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(maxBytes)
      JSON.parse(text)
    }),
    { numRuns: 2_000 },
  )
})

test("sanitizing keeps what it can", () => {
  const value = { text: "a\0b\ud800", "k\0": 1, big: 5n, fn: () => 1, list: [() => 1, Number.NaN, Symbol("s")], cycle }
  expect(JSON.parse(sanitizeJson(value, 1_000))).toEqual({
    text: "a\uFFFDb\uFFFD",
    "k\uFFFD": 1,
    big: "5",
    list: [null, null, null],
    cycle: { a: [{ cycle: "[circular]" }] },
  })
  expect(JSON.parse(sanitizeJson({ throwing, getter, b: 1 }, 1_000))).toEqual({
    throwing: "[unreadable: boom]",
    getter: { x: "[unreadable: boom]" },
    b: 1,
  })
  expect(sanitizeJson(undefined, 1_000)).toBe("null")
  expect(sanitizeJson(() => 1, 1_000)).toBe("null")
  expect(sanitizeJson(JSON.parse('{"__proto__": {"a": "\\u0000"}}'), 1_000)).toBe('{"__proto__":{"a":"\uFFFD"}}')
  expect(sanitizeJson(deep(100_000), 10_000)).toContain("[too deep]")
})

test("a value that is too large keeps its size and its start", () => {
  const value = { a: "x".repeat(5_000) }
  expect(JSON.parse(sanitizeJson(value, 4_000))).toEqual({
    truncated: true,
    bytes: 5_008,
    start: JSON.stringify(value).slice(0, 1_000),
  })
  expect(sanitizeJson("😀".repeat(5_000), 4_000)).not.toContain("\\ud")
  expect(JSON.parse(sanitizeJson({ n: 1n, a: "x".repeat(5_000) }, 4_000))).toMatchObject({ truncated: true })
})

test("shared parts that would multiply without end are cut", () => {
  let value: unknown = [1n]
  for (let i = 0; i < 60; i++) value = [value, value]
  expect(JSON.parse(sanitizeJson(value, 4_000))).toMatchObject({ truncated: true })
})
