import { expect, test } from "vitest"
import * as rule from "./rule-builders.ts"
import { all, any, isRule, not, ruleFrom, type Rule } from "./rule.ts"

test("a rule is frozen data that JSON carries there and back", () => {
  const made = rule.age.gt("1h").and(
    rule.state
      .eq("succeeded")
      .or(rule.payload("a.b").in([1, "x", true]))
      .not(),
  )
  expect(Object.isFrozen(made)).toBe(true)
  expect(Object.isFrozen(made.data)).toBe(true)
  const again = ruleFrom(JSON.parse(JSON.stringify(made)))
  expect(again.data).toEqual(made.data)
  expect(isRule(again)).toBe(true)
  expect(JSON.parse(JSON.stringify(rule.state.eq("failed")))).toEqual({ field: "state", is: "eq", value: "failed" })
  expect(JSON.parse(JSON.stringify(rule.age.gt("90s")))).toEqual({ field: "age", is: "gt", value: 90_000 })
})

test("combining rules leaves them as they were", () => {
  const first = rule.queue.eq("a")
  const before = JSON.stringify(first)
  expect(first.and(rule.jobName.eq("b"))).not.toBe(first)
  expect(JSON.stringify(first)).toBe(before)
  expect(all(first).data).toEqual({ all: [first.data] })
  expect(any(first, not(first)).data).toEqual({ any: [first.data, { not: first.data }] })
})

test("times are dates, ISO text, or move with the database's clock", () => {
  expect(rule.createdAt.lt(new Date(0)).data).toMatchObject({ value: "1970-01-01T00:00:00.000Z" })
  expect(rule.createdAt.lt("2030-01-31T14:00:00+02:00").data).toMatchObject({ value: "2030-01-31T12:00:00.000Z" })
  expect(rule.createdAt.lt("2h ago").data).toMatchObject({ value: -7_200_000 })
  expect(ruleFrom(JSON.parse(JSON.stringify(rule.createdAt.lt("in 5m")))).data).toMatchObject({ value: 300_000 })
})

test.each<[string, () => Rule, RegExp]>([
  ["an age as a number", () => rule.age.gt(3600 as never), /duration as text.*Did you mean "3600s"/],
  ["a state", () => rule.state.eq("gone" as never), /one of scheduled, pending/],
  ["an id", () => rule.id.eq("7"), /a UUID/],
  ["a priority", () => rule.priority.gt(1.5), /a whole number/],
  ["a queue", () => rule.queue.eq(7 as never), /takes text/],
  ["a NUL", () => rule.queue.eq("a\0"), /takes text/],
  ["a list", () => rule.queue.in("a" as never), /takes a list/],
  ["a time", () => rule.createdAt.lt("yesterday"), /ISO text/],
  ["an object", () => rule.payload("a").eq({} as never), /text, a number, a boolean or null/],
  ["an order of booleans", () => rule.payload("a").gt(true as never), /compares numbers or text/],
  ["a path", () => rule.payload("a..b").eq(1), /not a path/],
  ["something that is no rule", () => rule.queue.eq("a").and({} as never), /is not a rule/],
])("%s of the wrong type is refused when the rule is made", (_, make, message) => {
  expect(make).toThrow(expect.objectContaining({ code: "MILLRACE_BAD_RULE", message: expect.stringMatching(message) }))
})

test.each([
  [{ field: "quue", is: "eq", value: "a" }, /Did you mean "queue"/],
  [{ field: "scheduled_at", is: "lt", value: "2030-01-01" }, /Did you mean "runAt"/],
  [{ field: "toString", is: "eq", value: "a" }, /there is no field/],
  [{ field: "queue", is: "equals", value: "a" }, /cannot be compared by "equals"; it knows eq/],
  [{ field: "queue", is: "eq", value: "a", path: ["x"] }, /has no path/],
  [{ field: "payload", is: "eq", value: "a" }, /needs a `path`/],
  [{ field: "queue", operator: "eq", value: "a" }, /a rule is \{ field, is, value \}/],
  [{ field: "age", is: "gt", value: "1h" }, /milliseconds/],
  [{}, /a rule is/],
  [null, /is not a rule/],
])("the rule %j from outside is refused, with what was meant", (given, message) => {
  expect(() => ruleFrom(given)).toThrow(
    expect.objectContaining({ code: "MILLRACE_BAD_RULE", message: expect.stringMatching(message) }),
  )
})

test("a rule that is nested without end is refused", () => {
  let data: unknown = { field: "queue", is: "eq", value: "a" }
  for (let depth = 0; depth < 60; depth++) data = { not: data }
  expect(() => ruleFrom(data)).toThrow(/nested more than 50 deep/)
})
