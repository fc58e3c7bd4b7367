import { expect, expectTypeOf, test } from "vitest"
import { isMillraceError } from "./error.ts"
import {
  boolean,
  describeOptions,
  duration,
  integer,
  list,
  oneOf,
  type OptionsInput,
  type OptionsOutput,
  parseOptions,
  text,
  value,
} from "./options.ts"

const spec = {
  every: duration({ default: "10s", min: 1_000, doc: "Time between passes." }),
  timeout: duration({ doc: "Longest time." }),
  limit: integer({ default: 100, min: 1, max: 1_000, doc: "Rows at once." }),
  dryRun: boolean({ default: false, doc: "Only look." }),
  schema: text({ default: "millrace", pattern: /^[a-z_]+$/g, expects: "a lower-case name", doc: "Schema." }),
  order: oneOf(["oldest", "newest"], { default: "oldest", doc: "Which first." }),
  tags: list(text({ doc: "A tag." }), { default: [], max: 3, doc: "Tags." }),
  onError: value<(error: unknown) => void>({
    type: "function",
    check: (given) => (typeof given === "function" ? undefined : "must be a function"),
    doc: "Told of errors.",
  }),
}
const needy = { dsn: text({ required: true, doc: "Where." }), size: integer({ doc: "How many." }) }

const parse = (input: unknown) => parseOptions("pruner", spec, input, { poll_interval: "every", cron: "Use cron()." })

function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isMillraceError(error)) return `${error.code} ${error.message}`
    throw error
  }
  throw new Error("was accepted")
}

test("left out and undefined options take their defaults", () => {
  const defaults = {
    every: 10_000,
    timeout: undefined,
    limit: 100,
    dryRun: false,
    schema: "millrace",
    order: "oldest",
    tags: [],
    onError: undefined,
  }
  expect(parse({})).toStrictEqual(defaults)
  expect(parse(undefined)).toStrictEqual(defaults)
  expect(parse({ every: undefined, tags: undefined })).toStrictEqual(defaults)
})

test("given options are normalized and the result is frozen", () => {
  const onError = () => {}
  const tags = ["a"]
  const options = parse({ every: "1m", timeout: 5, order: "newest", tags, onError })
  expect(options).toMatchObject({ every: 60_000, timeout: 5, order: "newest", tags: ["a"], onError })
  tags.push("b")
  expect(options.tags).toEqual(["a"])
  expect(Object.isFrozen(options) && Object.isFrozen(options.tags)).toBe(true)
})

test("an unknown option is refused with the near miss, the hint or the list", () => {
  expect(refusal(() => parse({ evry: 1 }))).toBe(
    'MILLRACE_UNKNOWN_OPTION pruner: there is no option "evry". Did you mean "every"?',
  )
  expect(refusal(() => parse({ poll_interval: 1 }))).toContain('It is called "every" here.')
  expect(refusal(() => parse({ cron: 1 }))).toContain('"cron". Use cron().')
  expect(refusal(() => parse({ colour: 1 }))).toContain("Known: every, timeout, limit")
  expect(refusal(() => parse({ colour: undefined }))).toContain("MILLRACE_UNKNOWN_OPTION")
})

test("names every object inherits are unknown options", () => {
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const input: unknown = JSON.parse(`{"${key}": {"every": 1}}`)
    expect(refusal(() => parse(input))).toContain(`MILLRACE_UNKNOWN_OPTION pruner: there is no option "${key}"`)
  }
  expect(parse(Object.assign(Object.create(null), { limit: 5 })).limit).toBe(5)
})

test.each([
  [{ every: true }, 'pruner.every: expected a duration such as "90s", or a number of milliseconds, not true.'],
  [{ limit: "5" }, 'pruner.limit: expected a whole number from 1 to 1000, not "5".'],
  [{ limit: 1.5 }, "pruner.limit: expected a whole number from 1 to 1000, not 1.5."],
  [{ limit: 0 }, "not 0."],
  [{ limit: Number.NaN }, "not NaN."],
  [{ limit: null }, "not null."],
  [{ dryRun: "yes" }, 'pruner.dryRun: expected true or false, not "yes".'],
  [{ schema: "A-b" }, 'pruner.schema: expected a lower-case name, not "A-b".'],
  [{ order: "oldst" }, 'pruner.order: expected "oldest", "newest", not "oldst". Did you mean "oldest"?'],
  [{ tags: "a" }, "pruner.tags: expected a list of text"],
  [{ tags: ["a", ""] }, 'pruner.tags[1]: expected text that is not empty, not "".'],
  [{ tags: ["a", , "b"] }, "pruner.tags[1]: expected text that is not empty, not undefined."], // oxlint-disable-line no-sparse-arrays
  [{ tags: ["a", "b", "c", "d"] }, "a list of at most 3"],
  [{ onError: 1 }, "pruner.onError: must be a function, not 1."],
])("the wrong value of %o is refused by name", (input, message) => {
  expect(refusal(() => parse(input))).toMatch(/^MILLRACE_BAD_OPTION /)
  expect(refusal(() => parse(input))).toContain(message)
})

test("a malformed duration keeps its own code and hint", () => {
  expect(refusal(() => parse({ every: 15 }))).toBe(
    'MILLRACE_BAD_DURATION pruner.every: 15 milliseconds; did you mean "15s"? The minimum is 1 s.',
  )
})

test("input that is no plain object is refused", () => {
  for (const input of [null, 5, "x", [], new Map(), Promise.resolve(), () => {}]) {
    expect(refusal(() => parse(input))).toMatch(/^MILLRACE_BAD_OPTION pruner: expected a plain object of options/)
  }
})

test("a pattern with the global flag accepts the same text twice", () => {
  expect([parse({ schema: "abc" }).schema, parse({ schema: "abc" }).schema]).toEqual(["abc", "abc"])
})

test("a required option must be there", () => {
  expect(parseOptions("app", needy, { dsn: "postgres:" })).toStrictEqual({ dsn: "postgres:", size: undefined })
  expect(refusal(() => parseOptions("app", needy, {}))).toBe("MILLRACE_BAD_OPTION app.dsn: is required (text).")
  expect(refusal(() => parseOptions("app", needy, { dsn: undefined }))).toContain("is required")
})

test("a bad default fails where it is declared", () => {
  expect(refusal(() => duration({ default: 5, min: 1_000, doc: "" }))).toContain("MILLRACE_BAD_DURATION default")
})

test("options describe themselves as their callers write them", () => {
  expect(describeOptions("pruner", spec).map((row) => [row.name, row.type, row.default])).toEqual([
    ["every", "duration", '"10s"'],
    ["timeout", "duration", ""],
    ["limit", "integer", "100"],
    ["dryRun", "boolean", "false"],
    ["schema", "text", '"millrace"'],
    ["order", '"oldest" | "newest"', '"oldest"'],
    ["tags", "list of text", "[]"],
    ["onError", "function", ""],
  ])
  expect(describeOptions("app", needy)[0]).toEqual({ name: "dsn", type: "text", default: "required", doc: "Where." })
  expect(refusal(() => describeOptions("app", { x: boolean({ doc: " " }) }))).toContain("app.x: has no documentation")
})

test("types follow from the declaration", () => {
  expectTypeOf<OptionsOutput<typeof spec>>().toEqualTypeOf<{
    readonly every: number
    readonly timeout: number | undefined
    readonly limit: number
    readonly dryRun: boolean
    readonly schema: string
    readonly order: "oldest" | "newest"
    readonly tags: readonly string[]
    readonly onError: ((error: unknown) => void) | undefined
  }>()
  const input: OptionsInput<typeof spec> = { every: "1m", timeout: undefined, order: "newest", tags: ["a"] }
  expectTypeOf(parse(input)).toEqualTypeOf<OptionsOutput<typeof spec>>()
  // @ts-expect-error no such option
  expectTypeOf<OptionsInput<typeof spec>>({ evry: 1 })
  // @ts-expect-error no such value
  expectTypeOf<OptionsInput<typeof spec>>({ order: "random" })
  // @ts-expect-error dsn is required
  expectTypeOf<OptionsInput<typeof needy>>({ size: 1 })
  // @ts-expect-error no such setting
  duration({ defualt: "5s", doc: "" })
  expectTypeOf(value<string[]>({ default: [], doc: "" }).parse([], "")).toEqualTypeOf<string[]>()
  expectTypeOf(value<string[]>({ doc: "" }).parse([], "")).toEqualTypeOf<string[] | undefined>()
  expectTypeOf(value<string[]>({ required: true, doc: "" }).parse([], "")).toEqualTypeOf<string[]>()
})
