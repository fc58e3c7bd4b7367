import { failure } from "../../model/errors.ts"
import type { Condition, Operator, Source } from "./node.ts"
import { sourceOf, storedValue, type Holds } from "./references.ts"

/*
 * Conditions are recorded like mappings: `condition.gt(charge.result.cents, 100)`. What is not there counts as null. An order
 * there is between two numbers and between two texts (by code point); anything else is false.
 */

type Operand<T> = Holds<T> | T

const compare =
  (op: Operator) =>
  <T>(left: Holds<T>, right: Operand<NoInfer<T>>): Condition =>
    make(op, left, right)

const order =
  (op: Operator) =>
  <T extends string | number | null | undefined>(left: Holds<T>, right: Operand<NoInfer<T>>): Condition =>
    make(op, left, right)

/** Comparisons for `when`. */
export const condition = {
  eq: compare("eq"),
  ne: compare("ne"),
  lt: order("lt"),
  lte: order("lte"),
  gt: order("gt"),
  gte: order("gte"),
  /** One of these. */
  in: <T>(left: Holds<T>, right: Holds<readonly T[]> | readonly NoInfer<T>[]): Condition => make("in", left, right),
  /** There, and not null. */
  exists: (left: Holds<unknown>): Condition => make("exists", left, undefined),
  all: (...of: readonly Condition[]): Condition => join("all", of),
  any: (...of: readonly Condition[]): Condition => join("any", of),
  not: (of: Condition): Condition => join("not", [of]),
} as const

function make(op: Operator, left: unknown, right: unknown): Condition {
  if (sourceOf(left) === undefined) {
    throw failure("MILLRACE_BAD_WORKFLOW", `condition.${op} compares a stand-in, such as charge.result.cents, first.`)
  }
  return Object.freeze({ op, left, right })
}

function join(op: Operator, of: readonly Condition[]): Condition {
  const wrong = of.find((one) => !isCondition(one))
  if (wrong !== undefined || of.length === 0) {
    throw failure("MILLRACE_BAD_WORKFLOW", `condition.${op} joins conditions, made by condition.….`)
  }
  return Object.freeze({ op, of })
}

export const isCondition = (given: unknown): given is Condition =>
  typeof given === "object" && given !== null && "op" in given && ("left" in given || "of" in given)

export function* sourcesOf({ left, right, of = [] }: Condition): Generator<Source> {
  for (const side of [left, right]) {
    const from = sourceOf(side)
    if (from) yield from
  }
  for (const one of of) yield* sourcesOf(one)
}

export const storedCondition = ({ op, left, right, of }: Condition): Record<string, unknown> =>
  of
    ? { op, of: of.map(storedCondition) }
    : { op, left: storedValue(left), ...(op !== "exists" && { right: storedValue(right) }) }
