import fc from "fast-check"
import { expect, test } from "vitest"
import {
  isNarrow,
  needsScan,
  normalQuery,
  parseQuery,
  queryFields,
  queryStates,
  quoteValue,
  termCosts,
  withoutField,
  withTerm,
} from "./query.ts"
import { ruleFrom, type RuleData } from "./rule.ts"

const ruleOf = (text: string): RuleData => {
  const { rule, problems } = parseQuery(text)
  expect(problems).toEqual([])
  return (rule as { all: RuleData[] }).all[0]!
}
const problemOf = (text: string) => parseQuery(text).problems.map(({ message }) => message)

test("every kind of term becomes the rule that it means", () => {
  const all: Record<string, RuleData> = {
    "state:failed": { field: "state", is: "eq", value: "failed" },
    "name:Send*": { field: "name", is: "like", value: "Send%" },
    "queue:a,b": { field: "queue", is: "in", value: ["a", "b"] },
    "-tag:test": { not: { field: "tags", is: "contains", value: "test" } },
    "payload.user.id:42": { field: "payload", path: ["user", "id"], is: "in", value: [42, "42"] },
    'payload.user.id:"42"': { field: "payload", path: ["user", "id"], is: "eq", value: "42" },
    "payload.email:*@x.example": { field: "payload", path: ["email"], is: "like", value: "%@x.example" },
    "payload.n>=5": { field: "payload", path: ["n"], is: "gte", value: 5 },
    'error:"ECONNRESET at 50%"': { field: "error", is: "contains", value: "ECONNRESET at 50%" },
    "attempt>=3": { field: "attempts", is: "gte", value: 3 },
    "attempt:2..5": {
      all: [
        { field: "attempts", is: "gte", value: 2 },
        { field: "attempts", is: "lte", value: 5 },
      ],
    },
    "duration>5s": { field: "duration", is: "gt", value: 5_000 },
    "created:-24h..-1h": {
      all: [
        { field: "createdAt", is: "gte", value: -86_400_000 },
        { field: "createdAt", is: "lt", value: -3_600_000 },
      ],
    },
    "created:-24h": { field: "createdAt", is: "gte", value: -86_400_000 },
    "finished:2026-01-31": {
      all: [
        { field: "finishedAt", is: "gte", value: "2026-01-31T00:00:00.000Z" },
        { field: "finishedAt", is: "lt", value: "2026-02-01T00:00:00.000Z" },
      ],
    },
    "worker:x": { field: "worker", is: "eq", value: "x" },
    "priority<-5": { field: "priority", is: "lt", value: -5 },
    "kind:x": { field: "name", is: "eq", value: "x" },
    'name:"a*b"': { field: "name", is: "eq", value: "a*b" },
    "name!=x": { not: { field: "name", is: "eq", value: "x" } },
    Mail: { field: "name", is: "contains", value: "Mail" },
    "0198c0de-0000-7000-8000-000000000000": { field: "id", is: "eq", value: "0198c0de-0000-7000-8000-000000000000" },
  }
  for (const [text, rule] of Object.entries(all)) {
    expect([text, ruleOf(text)]).toEqual([text, rule])
    expect(() => ruleFrom(rule)).not.toThrow()
  }
})

test("a state that is not is all the others, so that tables without them are not asked", () => {
  expect(ruleOf("-state:succeeded,failed,cancelled")).toEqual({
    field: "state",
    is: "in",
    value: ["scheduled", "pending", "running", "retrying", "blocked"],
  })
})

test("what cannot be understood is named, with its place, and the rest still counts", () => {
  const { terms, problems } = parseQuery("state:faild queue:mail colour:red")
  expect(terms.map(({ text }) => text)).toEqual(["queue:mail"])
  expect(problems).toMatchObject([
    { text: "state:faild", start: 0, end: 11 },
    { text: "colour:red", start: 23, end: 33 },
  ])
  expect(problemOf("attempt:x")).toEqual(['"x" is not a whole number.'])
  expect(problemOf("created:yesterday")[0]).toMatch(/-24h/)
  expect(problemOf("payload:1")[0]).toMatch(/payload\.user\.id/)
  expect(problemOf("queue:")).toEqual(['"queue" needs a value.'])
  expect(problemOf("tag:a*")[0]).toMatch(/compared whole/)
})

test("any text is read without an error, and what comes of it is a rule that can be made, or a problem", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      ...Object.keys(queryFields),
      ...queryStates,
      "payload.a",
      "-",
      ":",
      ">=",
      '"',
      ",",
      "..",
      "*",
      "-24h",
      "42",
    ),
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), fc.constantFrom("", " "), (words, gap) => {
      const text = words.join(gap)
      const { terms, problems, rule } = parseQuery(text)
      for (const { start, end, text: part } of [...terms, ...problems]) expect(text.slice(start, end)).toBe(part)
      if (!text.includes("\0")) ruleFrom(rule)
      expect(normalQuery(normalQuery(text))).toBe(normalQuery(text))
      expect(parseQuery(normalQuery(text)).rule).toEqual(parseQuery(text.slice(0, 4_000)).rule)
    }),
    { numRuns: 500 },
  )
})

test("a value that was quoted reads as itself", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (value) => {
      expect(ruleOf(`worker:${quoteValue(value)}`)).toEqual({ field: "worker", is: "eq", value })
    }),
  )
})

test("terms are added once, and taken away by their field", () => {
  expect(withTerm("state:failed  queue:a", "name:x")).toBe("state:failed queue:a name:x")
  expect(withTerm("name:x", "name:x")).toBe("name:x")
  expect(withoutField("state:failed queue:a -state:running", "state")).toBe("queue:a")
})

test("each term says what it costs", () => {
  const costs = (text: string) => termCosts(parseQuery(text))
  expect(costs("state:failed payload.a:1 error:x")).toEqual(["indexed", "indexed", "filtered"])
  expect(costs("payload.a:1 name:x* queue:q attempt>1")).toEqual(["scanned", "scanned", "indexed", "scanned"])
  expect(termCosts(parseQuery("payload.a:1"), [{ field: "payload", path: ["a"] }])).toEqual(["indexed"])
  const scans = (text: string) => needsScan(parseQuery(text).rule)
  expect(
    ["", "state:failed error:x", "queue:q", "tag:x payload.a:1", "id:0198c0de-0000-7000-8000-000000000000 error:x"].map(
      scans,
    ),
  ).toEqual([false, false, false, false, false])
  expect(["error:x", "payload.a:1", "queue:q payload.a:1", "-tag:x", "duration>5s"].map(scans)).toEqual([
    true,
    true,
    true,
    true,
    true,
  ])
  expect(isNarrow(parseQuery("state:failed,succeeded").rule)).toBe(false)
})
