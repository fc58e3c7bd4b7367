import { expect, test } from "vitest"
import { sqlState, verdict, type Verdict } from "./sqlstate.ts"

const coded = (code: string, message = "x") => Object.assign(new Error(message), { code })

test.each<[Verdict, string[]]>([
  [
    "retry",
    [
      "08006",
      "08001",
      "40001",
      "40P01",
      "53300",
      "53200",
      "57P01",
      "57P03",
      "57014",
      "58030",
      "55P03",
      "55006",
      "25006",
    ],
  ],
  [
    "retry",
    [
      "ECONNREFUSED",
      "ECONNRESET",
      "EPIPE",
      "ETIMEDOUT",
      "ENOTFOUND",
      "MILLRACE_QUERY_TIMEOUT",
      "MILLRACE_COMMIT_UNKNOWN",
    ],
  ],
  ["data", ["22P02", "22P05", "22021", "22003", "23505", "23502", "23514"]],
  [
    "fatal",
    ["42P01", "42601", "42501", "3F000", "28P01", "3D000", "XX000", "25P02", "P0001", "0A000", "MILLRACE_CLOSED"],
  ],
])("it is %s after %j", (expected, codes) => {
  for (const code of codes) expect([code, verdict(coded(code))]).toEqual([code, expected])
})

test("a row that fits no partition is told apart from one that breaks a check", () => {
  expect(verdict(coded("23514", 'no partition of relation "jobs_history" found for row'))).toBe("partition")
  expect(verdict(coded("23514", 'new row for relation "jobs" violates check constraint "c"'))).toBe("data")
})

test.each([
  "Connection terminated unexpectedly",
  "Client was closed and is not queryable",
  "timeout exceeded when trying to connect",
  "the listening connection was closed",
])("a connection that was lost without a code, %j, is worth a retry", (message) => {
  expect(verdict(new Error(message))).toBe("retry")
})

test("anything else without a code is fatal", () => {
  for (const error of [new Error("x is not a function"), "text", undefined, null, 5, {}])
    expect(verdict(error)).toBe("fatal")
})

test("a code is text, or none", () => {
  expect([sqlState(coded("40001")), sqlState({ code: 5 }), sqlState(null), sqlState("x")]).toEqual([
    "40001",
    "",
    "",
    "",
  ])
})
