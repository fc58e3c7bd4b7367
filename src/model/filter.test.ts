import { expect, test } from "vitest"
import { ruleOfFilter } from "./filter.ts"
import { priority } from "./rule-builders.ts"

const refusal = (filter: unknown): string => {
  try {
    ruleOfFilter(filter as never)
  } catch (error) {
    return (error as Error).message
  }
  return "nothing was refused"
}

test("a filter is a rule: everything given must hold", () => {
  expect(ruleOfFilter({ state: "failed", queue: ["a", "b"], where: priority.gt(5) }).data).toEqual({
    all: [
      { field: "state", is: "eq", value: "failed" },
      { field: "queue", is: "in", value: ["a", "b"] },
      { field: "priority", is: "gt", value: 5 },
    ],
  })
})

test("one condition is not wrapped, and none means every job", () => {
  expect(ruleOfFilter({ state: "failed" }).data).toEqual({ field: "state", is: "eq", value: "failed" })
  expect(ruleOfFilter({}).data).toEqual({ all: [] })
  expect(ruleOfFilter().data).toEqual({ all: [] })
})

test("a rule is taken as it is", () => {
  const rule = priority.gt(5)
  expect(ruleOfFilter(rule)).toBe(rule)
})

test("each of `tags` must be there, and one of `anyTag`", () => {
  expect(ruleOfFilter({ tags: ["a", "b"], anyTag: ["c", "d"] }).data).toEqual({
    all: [
      { field: "tags", is: "contains", value: "a" },
      { field: "tags", is: "contains", value: "b" },
      { field: "tags", is: "in", value: ["c", "d"] },
    ],
  })
})

test("a time range holds its beginning and not its end", () => {
  expect(ruleOfFilter({ createdAt: { after: "2h ago", before: "1h ago" } }).data).toEqual({
    all: [
      { field: "createdAt", is: "gte", value: -7_200_000 },
      { field: "createdAt", is: "lt", value: -3_600_000 },
    ],
  })
})

test.each([
  [{ states: "failed" }, 'It is called "state" here'],
  [{ quue: "mail" }, '"queue"'],
  [{ state: "faild" }, '"failed"'],
  [{ state: ["failed", "done"] }, "filter.state[1]"],
  [{ name: 5 }, "must be text or a list of texts"],
  [{ tags: "vip" }, "a list of text"],
  [{ createdAt: new Date(0) }, "filter.createdAt is { after, before }"],
  [{ createdAt: { since: "1h ago" } }, "filter.createdAt is { after, before }"],
  [{ payload: "customer" }, 'filter.payload is { "path.to.value": value }'],
  [{ where: { field: "state" } }, "must be a rule"],
])("%j is refused", (filter, message) => {
  expect(refusal(filter)).toContain(message)
})
