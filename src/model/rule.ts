import { milliseconds } from "../lib/duration.ts"
import { quote } from "../lib/quote.ts"
import { failure } from "./errors.ts"
import { fieldNamed, pathOf, type FieldKind, type FieldName } from "./rule-field.ts"

/*
 * A rule says which jobs are meant: by the pruner, by reprioritize, by a search. It is frozen data, so it can be stored,
 * sent and compared; `postgres/rule-sql.ts` turns it into SQL, and nothing else does.
 */

/** A moment: a Date, ISO text, or relative to now: `"1h ago"`, `"in 5m"`. */
export type Moment = Date | string

/** What stands at a path inside a payload. */
export type JsonValue = string | number | boolean | null

/** What a field is compared by. */
export type Operator = "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "contains" | "like" | "isNull"

/** One comparison, as data. */
export interface Comparison {
  readonly field: FieldName
  /** Of `payload` and `meta`: the keys that lead to the value, `"a.b"` is `["a", "b"]`. */
  readonly path?: readonly string[]
  readonly is: Operator
  /** Ages in milliseconds; times as ISO text, or in milliseconds from now on. Absent with `isNull`. */
  readonly value?: unknown
}

/** A rule as data: what JSON of a rule looks like. */
export type RuleData =
  | Comparison
  | { readonly all: readonly RuleData[] }
  | { readonly any: readonly RuleData[] }
  | { readonly not: RuleData }

/** A condition over jobs. Immutable: each method returns a new one. */
export interface Rule {
  readonly data: RuleData
  /** Both hold. */
  and(...others: readonly Rule[]): Rule
  /** At least one holds. */
  or(...others: readonly Rule[]): Rule
  /** It does not hold. What has no value (null) is not equal, not older, not anything: `not` of it holds. */
  not(): Rule
  toJSON(): RuleData
}

class FrozenRule implements Rule {
  readonly data: RuleData
  constructor(data: RuleData) {
    this.data = freeze(data)
    Object.freeze(this)
  }
  and(...others: readonly Rule[]): Rule {
    return all(this, ...others)
  }
  or(...others: readonly Rule[]): Rule {
    return any(this, ...others)
  }
  not(): Rule {
    return not(this)
  }
  toJSON(): RuleData {
    return this.data
  }
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    for (const part of Object.values(value)) freeze(part)
    Object.freeze(value)
  }
  return value
}

/** All of them hold; of none, always. */
export const all = (...rules: readonly Rule[]): Rule => new FrozenRule({ all: rules.map(dataOf) })

/** At least one of them holds; of none, never. */
export const any = (...rules: readonly Rule[]): Rule => new FrozenRule({ any: rules.map(dataOf) })

/** It does not hold. */
export const not = (rule: Rule): Rule => new FrozenRule({ not: dataOf(rule) })

export const isRule = (given: unknown): given is Rule => given instanceof FrozenRule

function dataOf(rule: Rule): RuleData {
  if (isRule(rule)) return rule.data
  throw badRule(`${quote(rule)} is not a rule. Make one from a field, such as state.eq("failed") or age.gt("1h").`)
}

/**
 * One comparison, checked: operator and value must suit the field.
 *
 * @throws MILLRACE_BAD_RULE, MILLRACE_BAD_DURATION for an age that is not text such as "1h".
 */
export function compare(name: FieldName, is: Operator, value?: unknown, path?: readonly string[]): Rule {
  const kind = fieldNamed(name).kind
  const where = path ? `${name}(${quote(path.join("."))})` : name
  if (!operators[kind].includes(is)) {
    throw badRule(`${where} cannot be compared by "${is}"; it knows ${operators[kind].join(", ")}.`)
  }
  const normal = is === "isNull" ? undefined : normalized(kind, is, value, `${where}.${is}`)
  return new FrozenRule({ field: name, ...(path ? { path } : {}), is, ...(is === "isNull" ? {} : { value: normal }) })
}

/** What each kind of field can be compared by. */
export const operators: Readonly<Record<FieldKind, readonly Operator[]>> = {
  text: ["eq", "ne", "in", "contains", "like", "isNull"],
  name: ["eq", "ne", "in", "contains", "like"],
  id: ["eq", "ne", "in", "gt", "lt"],
  state: ["eq", "ne", "in"],
  number: ["eq", "ne", "gt", "gte", "lt", "lte", "in"],
  time: ["eq", "ne", "gt", "gte", "lt", "lte", "isNull"],
  age: ["gt", "gte", "lt", "lte"],
  tags: ["contains", "in", "isNull"],
  error: ["contains", "like", "eq", "isNull"],
  json: ["eq", "ne", "gt", "gte", "lt", "lte", "in", "contains", "like", "isNull"],
}

const checks: Readonly<Record<FieldKind, (value: unknown) => string | undefined>> = {
  text: isText,
  name: isText,
  error: isText,
  tags: isText,
  id: (value) =>
    typeof value === "string" && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value) ? undefined : "a UUID",
  state: (value) => (states.includes(value as string) ? undefined : `one of ${states.join(", ")}`),
  number: (value) => (Number.isSafeInteger(value) ? undefined : "a whole number"),
  time: (value) => (isMoment(value) ? undefined : `a Date, ISO text such as "2026-01-31T12:00:00Z", or "1h ago"`),
  age: (value) => (typeof value === "string" ? undefined : 'a duration as text, such as "90s" or "1h"'),
  json: (value) =>
    value === null || ["string", "number", "boolean"].includes(typeof value)
      ? undefined
      : "text, a number, a boolean or null",
}

const states = ["scheduled", "pending", "running", "retrying", "blocked", "succeeded", "failed", "cancelled"]

function isText(value: unknown): string | undefined {
  return typeof value === "string" && !value.includes("\0") ? undefined : "text"
}

const isMoment = (value: unknown): boolean =>
  value instanceof Date
    ? !Number.isNaN(value.getTime())
    : typeof value === "string" &&
      (relative.test(value) || (/^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(Date.parse(value))))

const relative = /^(?:in (\S+)|(\S+) ago)$/

/** ISO text; of a relative one the milliseconds from now on, so that the database's clock decides. */
function momentOf(value: string | Date, where: string): string | number {
  const [, ahead, ago] = (typeof value === "string" && relative.exec(value)) || []
  if (ahead !== undefined) return milliseconds(ahead, where)
  return ago === undefined ? new Date(value).toISOString() : -milliseconds(ago, where)
}

function normalized(kind: FieldKind, is: Operator, value: unknown, where: string): unknown {
  if (is !== "in") return one(kind, is, value, where)
  if (!Array.isArray(value)) throw badRule(`${where} takes a list, not ${quote(value)}.`)
  if (value.length > 10_000) throw badRule(`${where} takes at most 10,000 values, not ${value.length}.`)
  return value.map((entry) => one(kind, is, entry, where))
}

function one(kind: FieldKind, is: Operator, value: unknown, where: string): unknown {
  if (kind === "age") return ageOf(value, where)
  const wanted = is === "like" || (is === "contains" && kind !== "json") ? isText(value) : checks[kind](value)
  if (wanted !== undefined) throw badRule(`${where} takes ${wanted}, not ${quote(value)}.`)
  if (kind === "json" && ordered.includes(is) && typeof value !== "number" && typeof value !== "string") {
    throw badRule(`${where} compares numbers or text, not ${quote(value)}.`)
  }
  if (kind === "time") return momentOf(value as string | Date, where)
  return kind === "id" ? (value as string).toLowerCase() : value
}

const ordered: readonly Operator[] = ["gt", "gte", "lt", "lte"]

/** Ages are text: a bare number is as often meant in seconds as in milliseconds. */
function ageOf(value: unknown, where: string): number {
  if (typeof value === "string") return milliseconds(value, where)
  const meant = typeof value === "number" && value > 0 ? ` Did you mean "${value}s"?` : ""
  throw badRule(`${where} takes ${checks.age(value)}, not ${quote(value)}.${meant}`)
}

/**
 * A rule from its data, for what was stored or came over the wire. Ages are milliseconds there.
 *
 * @throws MILLRACE_BAD_RULE for anything that no builder would have made.
 */
export function ruleFrom(given: unknown, depth = 0): Rule {
  if (isRule(given)) return given
  if (depth > 50) throw badRule("the rule is nested more than 50 deep.")
  if (typeof given !== "object" || given === null) throw badRule(`${quote(given)} is not a rule.`)
  const data = given as Record<string, unknown>
  const keys = Object.keys(data)
  if (keys.length === 1 && Array.isArray(data.all)) return all(...data.all.map((part) => ruleFrom(part, depth + 1)))
  if (keys.length === 1 && Array.isArray(data.any)) return any(...data.any.map((part) => ruleFrom(part, depth + 1)))
  if (keys.length === 1 && "not" in data) return not(ruleFrom(data.not, depth + 1))
  return comparisonFrom(data)
}

function comparisonFrom({ field, is, value, path, ...rest }: Record<string, unknown>): Rule {
  if (typeof field !== "string" || Object.keys(rest).length > 0) {
    throw badRule("a rule is { field, is, value }, { all: […] }, { any: […] } or { not: … }.")
  }
  const { kind } = fieldNamed(field)
  if ((kind === "json") !== Array.isArray(path)) {
    throw badRule(kind === "json" ? `${field} needs a \`path\`, such as ["customer", "id"].` : `${field} has no path.`)
  }
  if (kind === "age") return ageFrom(field as FieldName, is as Operator, value)
  if (kind === "time" && Number.isSafeInteger(value)) {
    const text = (value as number) < 0 ? `${-(value as number)}ms ago` : `in ${value as number}ms`
    return compare(field as FieldName, is as Operator, text)
  }
  return compare(field as FieldName, is as Operator, value, Array.isArray(path) ? pathOf(field, path) : undefined)
}

function ageFrom(field: FieldName, is: Operator, value: unknown): Rule {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw badRule(`${field}.${is}: as data, an age is a whole number of milliseconds, not ${quote(value)}.`)
  }
  return compare(field, is, `${value as number}ms`)
}

const badRule = (text: string) => failure("MILLRACE_BAD_RULE", `Rule: ${text}`)
