import { pathOf, type FieldName } from "./rule-field.ts"
import { compare, type JsonValue, type Moment, type Rule } from "./rule.ts"
import type { JobState } from "./state.ts"

/*
 * What people write rules with: `age.gt("1h").and(state.eq("succeeded"))`. Each field offers what it can be compared by.
 */

export interface Equal<Value> {
  eq(value: Value): Rule
  ne(value: Value): Rule
  in(values: readonly Value[]): Rule
}
export interface Ordered<Value> {
  gt(value: Value): Rule
  gte(value: Value): Rule
  lt(value: Value): Rule
  lte(value: Value): Rule
}
export interface Text {
  /** Holds this text somewhere, exactly as written. */
  contains(text: string): Rule
  /** SQL's LIKE: `%` is any text, `_` one character, `\` takes the next literally. */
  like(pattern: string): Rule
}
export interface Nullable {
  isNull(): Rule
}
/** Durations as text, such as `"90s"`: a bare number is refused. */
export type Age = Ordered<string>
export type Time = Ordered<Moment> & Nullable & { eq(value: Moment): Rule; ne(value: Moment): Rule }
export type Json = Equal<JsonValue> & Ordered<string | number> & Text & Nullable
export interface Tags extends Nullable {
  /** Has this tag. */
  contains(tag: string): Rule
  /** Has at least one of these. */
  in(tags: readonly string[]): Rule
}

function equal<Value>(field: FieldName, path?: readonly string[]): Equal<Value> {
  return {
    eq: (value) => compare(field, "eq", value, path),
    ne: (value) => compare(field, "ne", value, path),
    in: (values) => compare(field, "in", values, path),
  }
}

function ordered<Value>(field: FieldName, path?: readonly string[]): Ordered<Value> {
  return {
    gt: (value) => compare(field, "gt", value, path),
    gte: (value) => compare(field, "gte", value, path),
    lt: (value) => compare(field, "lt", value, path),
    lte: (value) => compare(field, "lte", value, path),
  }
}

function searched(field: FieldName, path?: readonly string[]): Text {
  return {
    contains: (text) => compare(field, "contains", text, path),
    like: (pattern) => compare(field, "like", pattern, path),
  }
}

const nullable = (field: FieldName, path?: readonly string[]): Nullable => ({
  isNull: () => compare(field, "isNull", undefined, path),
})

const time = (field: FieldName): Time => {
  const { eq, ne } = equal<Moment>(field)
  return Object.freeze({ ...ordered<Moment>(field), ...nullable(field), eq, ne })
}
const name = (field: FieldName): Equal<string> & Text => Object.freeze({ ...equal<string>(field), ...searched(field) })
const number = (field: FieldName): Equal<number> & Ordered<number> =>
  Object.freeze({ ...equal<number>(field), ...ordered<number>(field) })
const optionalText = (field: FieldName): Equal<string> & Text & Nullable =>
  Object.freeze({ ...equal<string>(field), ...searched(field), ...nullable(field) })

/** Time since the push. */
export const age: Age = Object.freeze(ordered<string>("age"))
/** How long the latest attempt ran, or has been running. */
export const duration: Age = Object.freeze(ordered<string>("duration"))
/** Time since the job finished; unfinished jobs have none. */
export const finishedAge: Age = Object.freeze(ordered<string>("finishedAge"))
export const createdAt: Time = time("createdAt")
/** When it is, or was, due. */
export const runAt: Time = time("runAt")
export const startedAt: Time = time("startedAt")
export const finishedAt: Time = time("finishedAt")
export const id: Equal<string> & { gt(id: string): Rule; lt(id: string): Rule } = Object.freeze({
  ...equal<string>("id"),
  gt: (value: string) => compare("id", "gt", value),
  lt: (value: string) => compare("id", "lt", value),
})
export const state: Equal<JobState> = Object.freeze(equal<JobState>("state"))
export const queue: Equal<string> & Text = name("queue")
/** The job's name. */
export const jobName: Equal<string> & Text = name("name")
export const priority: Equal<number> & Ordered<number> = number("priority")
export const attempts: Equal<number> & Ordered<number> = number("attempts")
export const crashes: Equal<number> & Ordered<number> = number("crashes")
/** Id of the worker that holds it, or finished it. */
export const worker: Equal<string> & Text & Nullable = optionalText("worker")
/** As given at the push, without its scope. */
export const uniqueKey: Equal<string> & Text & Nullable = optionalText("uniqueKey")
export const tags: Tags = Object.freeze({
  contains: (tag: string) => compare("tags", "contains", tag),
  in: (any: readonly string[]) => compare("tags", "in", any),
  ...nullable("tags"),
})
/** Messages of its kept errors: holds when any of them does. */
export const errorText: Text & Nullable & { eq(text: string): Rule } = Object.freeze({
  ...searched("error"),
  ...nullable("error"),
  eq: (text: string) => compare("error", "eq", text),
})
/** A value inside the payload: `payload("customer.id").eq(5)`. */
export const payload = (path: string | readonly string[]): Json => json("payload", path)
/** A value inside the meta. */
export const meta = (path: string | readonly string[]): Json => json("meta", path)

const json = (field: FieldName, path: string | readonly string[]): Json => {
  const keys = pathOf(field, path)
  return Object.freeze({
    ...equal<JsonValue>(field, keys),
    ...ordered<string | number>(field, keys),
    ...searched(field, keys),
    ...nullable(field, keys),
  })
}
