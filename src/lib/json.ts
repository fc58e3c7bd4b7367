import { types } from "node:util"

/*
 * JSON that PostgreSQL can store as jsonb, and that says what the value said.
 *
 * JSON.stringify alone is not enough. It writes U+0000 and lone surrogates, which jsonb refuses; it turns NaN into
 * null, a Map into {}, and leaves out functions without a word. The strings are cheap to check in the text: JSON
 * spells both as escapes, `\u0000` and `\ud…`, so two searches tell that neither is there (a hit may still be an
 * innocent backslash). What gets lost leaves no trace in the text, so a walk looks at the value itself; it allocates
 * next to nothing and costs no more than the stringify before it. Only when one of these finds something does a slow
 * walk run, which follows JSON.stringify step by step and names the path of the culprit. It has the last word: when it
 * finds nothing, the text is good.
 */

export interface EncodedJson {
  readonly text: string
  /** Length of `text` in UTF-8. */
  readonly bytes: number
}

export interface JsonProblem {
  /** What is wrong, as the end of a sentence: `"is NaN"`. */
  readonly problem: string
  /** Where: `$.a[3].b`, `$` for the value itself. */
  readonly path?: string
}

// PostgreSQL parses jsonb recursively within max_stack_depth (2 MB unless raised) and gives up at some ten thousand levels.
const DEEPEST = 1_000

/**
 * A value as JSON text that jsonb can store, or what is in the way. Never throws.
 *
 * Refuses undefined as the value itself, functions, symbols, bigints, NaN and infinities, cycles, invalid Dates, more
 * than 1,000 levels, text or keys with U+0000 or half a surrogate pair, and objects that JSON writes as `{}` although
 * they hold something (Map, Set, Error, …). Allows what JSON.stringify does on purpose: undefined properties are left out,
 * undefined in an array becomes null, and `toJSON` is honoured, so that a Date becomes text.
 */
export function encodeJson(value: unknown): EncodedJson | JsonProblem {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
    if (text !== undefined && !suspicious(text) && !losesSomething(value, 0)) return encoded(text)
  } catch (error) {
    // "Invalid string length": walking so large a value only to say so would take as long again.
    if (error instanceof RangeError && /string length/i.test(error.message)) return { problem: "is too large" }
    return explain(value) ?? { problem: `cannot be read: ${messageOf(error)}` }
  }
  return explain(value) ?? (text === undefined ? { problem: "has no JSON form", path: "$" } : encoded(text))
}

function encoded(text: string): EncodedJson {
  return { text, bytes: Buffer.byteLength(text) }
}

function suspicious(text: string): boolean {
  return text.includes("\\u0000") || text.includes("\\ud")
}

/** True when JSON.stringify may have lost something; not certain, since it does not call `toJSON`. */
function losesSomething(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "number":
      return !Number.isFinite(value)
    case "function":
    case "symbol":
      return true
    case "object":
      return value !== null && objectLosesSomething(value, depth)
    default:
      return false
  }
}

function objectLosesSomething(value: object, depth: number): boolean {
  if (value instanceof Date) return isInvalidDate(value)
  if (depth >= DEEPEST || "toJSON" in value) return true
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) if (losesSomething(value[index], depth + 1)) return true
    return false
  }
  const keys = Object.keys(value)
  for (const key of keys) if (losesSomething((value as Record<string, unknown>)[key], depth + 1)) return true
  return isExotic(value) && (isOpaque(value, keys.length) || types.isBoxedPrimitive(value))
}

function isExotic(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype !== Object.prototype && prototype !== null
}

/** An object of a built-in class that JSON writes as `{}` although there is more to it. */
function isOpaque(value: object, keys: number): boolean {
  return keys === 0 && isExotic(value) && OPAQUE.has(classOf(value))
}

const OPAQUE: ReadonlySet<string> = new Set([
  "Map",
  "Set",
  "WeakMap",
  "WeakSet",
  "WeakRef",
  "Promise",
  "RegExp",
  "Error",
  "ArrayBuffer",
  "SharedArrayBuffer",
  "DataView",
])

function classOf(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1)
}

function isInvalidDate(value: unknown): boolean {
  return value instanceof Date && Number.isNaN(value.getTime())
}

/** The first problem that JSON.stringify would run into, or undefined. */
function explain(value: unknown): JsonProblem | undefined {
  try {
    return problemAt(value, "", "$", [])
  } catch (error) {
    return { problem: `cannot be read: ${messageOf(error)}` }
  }
}

function problemAt(written: unknown, key: string, path: string, above: readonly object[]): JsonProblem | undefined {
  if (isInvalidDate(written)) return { problem: "is an invalid Date", path }
  const read = attempt(() => plain(written, key))
  if ("error" in read) return { problem: `has a toJSON that threw: ${read.error}`, path }
  const value = read.value
  const problem = problemOf(value, above)
  if (problem !== undefined) return { problem, path }
  if (typeof value === "object" && value !== null) return problemWithin(value, path, [...above, value])
  return value === undefined && path === "$" ? { problem: "is undefined", path } : undefined
}

function problemOf(value: unknown, above: readonly object[]): string | undefined {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? undefined : `is ${value}`
    case "bigint":
      return "is a bigint"
    case "function":
      return "is a function"
    case "symbol":
      return "is a symbol"
    case "string":
      return problemOfText(value)
    case "object":
      return value === null ? undefined : problemOfObject(value, above)
    default:
      return undefined
  }
}

function problemOfText(text: string): string | undefined {
  if (text.includes("\0")) return "contains the character U+0000, which PostgreSQL cannot store"
  if (LONE_SURROGATE.test(text)) return "contains half a surrogate pair, which PostgreSQL cannot store"
  return undefined
}

function problemOfObject(value: object, above: readonly object[]): string | undefined {
  if (above.includes(value)) return "contains itself"
  if (above.length >= DEEPEST) return `is nested deeper than ${DEEPEST} levels`
  return isOpaque(value, Object.keys(value).length)
    ? `is of class ${classOf(value)}, which JSON writes as {}`
    : undefined
}

function problemWithin(value: object, path: string, above: readonly object[]): JsonProblem | undefined {
  const list = Array.isArray(value)
  for (const key of list ? value.keys() : Object.keys(value)) {
    const inner = list ? `${path}[${key}]` : path + step(String(key))
    const unstorable = problemOfText(String(key))
    if (unstorable !== undefined) return { problem: `has a key that ${unstorable}`, path }
    const read = attempt(() => (value as Record<string | number, unknown>)[key])
    if ("error" in read) return { problem: `has a getter that threw: ${read.error}`, path: inner }
    const problem = problemAt(read.value, String(key), inner, above)
    if (problem !== undefined) return problem
  }
  return undefined
}

function step(key: string): string {
  if (/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) && key.length <= 60) return `.${key}`
  return `[${JSON.stringify(key.length <= 60 ? key : `${key.slice(0, 60)}…`)}]`
}

/** A value after what JSON.stringify does first: `toJSON`, and unwrapping of objects such as `new Number(1)`. */
function plain(value: unknown, key: string): unknown {
  const holder = typeof value === "bigint" ? BigInt.prototype : value
  let result = value
  if (typeof holder === "object" && holder !== null) {
    const toJSON: unknown = Reflect.get(holder, "toJSON")
    if (typeof toJSON === "function") result = Reflect.apply(toJSON, value, [key])
  }
  return types.isBoxedPrimitive(result) ? result.valueOf() : result
}

function attempt<T>(read: () => T): { value: T } | { error: string } {
  try {
    return { value: read() }
  } catch (error) {
    return { error: messageOf(error) }
  }
}

function messageOf(error: unknown): string {
  try {
    return storable(String(error instanceof Error ? error.message : error).slice(0, 200))
  } catch {
    return "an error that cannot be read"
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u
const LONE_SURROGATES = /\p{Surrogate}/gu

/** Text with what PostgreSQL cannot store replaced by U+FFFD. */
function storable(text: string): string {
  return text.replaceAll("\0", "\uFFFD").replace(LONE_SURROGATES, "\uFFFD")
}

// Diagnostic data nested deeper than this is no longer read by anyone.
const DEEPEST_KEPT = 100
const START_LENGTH = 1_000

/**
 * Any value as JSON text that jsonb can store, for data that must never get in the way, such as error details. Never
 * throws, not even when getters or `toJSON` do.
 *
 * Bad characters become U+FFFD, bigints text, NaN and infinities null, cycles `"[circular]"`, unreadable parts
 * `"[unreadable: …]"`; functions and symbols are dropped. Text above `maxBytes` (UTF-8) becomes
 * `{"truncated": true, "bytes": …, "start": "…"}` with up to 1,000 characters of it, where `bytes` is a lower bound
 * when the value also needed repair. That form itself stays within `maxBytes` when it is 64 or more.
 */
export function sanitizeJson(value: unknown, maxBytes: number): string {
  const strict = encodeJson(value)
  const { text, bytes } = "text" in strict ? strict : repaired(value, maxBytes)
  return bytes <= maxBytes ? text : truncated(text, bytes, maxBytes)
}

function repaired(value: unknown, maxBytes: number): EncodedJson {
  // Shared parts can make a small value huge as text, so the copy stops once it is certain to be cut anyway.
  const budget: Budget = { left: Math.max(maxBytes, START_LENGTH) + 1 }
  try {
    const { text, bytes } = encoded(JSON.stringify(repair(value, "", [], budget) ?? null))
    return { text, bytes: budget.left > 0 ? bytes : Math.max(bytes, maxBytes + 1) }
  } catch (error) {
    return encoded(JSON.stringify(`[unreadable: ${messageOf(error)}]`))
  }
}

interface Budget {
  /** Characters that may still be copied. */
  left: number
}

function repair(written: unknown, key: string, above: readonly object[], budget: Budget): unknown {
  const read = attempt(() => plain(written, key))
  if ("error" in read) return unreadable(read.error, budget)
  const value = read.value
  if (typeof value === "function" || typeof value === "symbol" || value === undefined || budget.left <= 0)
    return undefined
  budget.left -= 2 // a character and the comma or bracket after it
  if (typeof value === "string") return keep(value, budget)
  if (typeof value === "bigint") return keep(String(value), budget)
  if (typeof value !== "object" || value === null) return value
  if (above.includes(value)) return "[circular]"
  if (above.length >= DEEPEST_KEPT) return "[too deep]"
  const inside = attempt(() => repairWithin(value, [...above, value], budget))
  return "error" in inside ? unreadable(inside.error, budget) : inside.value
}

function repairWithin(value: object, above: readonly object[], budget: Budget): unknown {
  if (Array.isArray(value)) return repairList(value, above, budget)
  // Entries and no assignment, so that a key called __proto__ stays a key.
  const entries: [string, unknown][] = []
  for (const key of Object.keys(value)) {
    if (budget.left <= 0) break
    const read = attempt(() => repair((value as Record<string, unknown>)[key], key, above, budget))
    const part = "error" in read ? unreadable(read.error, budget) : read.value
    if (part !== undefined) entries.push([keep(key, budget), part])
  }
  return Object.fromEntries(entries)
}

function repairList(value: readonly unknown[], above: readonly object[], budget: Budget): unknown[] {
  const parts: unknown[] = []
  for (let index = 0; index < value.length && budget.left > 0; index++) {
    budget.left--
    const read = attempt(() => repair(value[index], String(index), above, budget))
    parts.push(("error" in read ? unreadable(read.error, budget) : read.value) ?? null)
  }
  return parts
}

function unreadable(message: string, budget: Budget): string {
  return keep(`[unreadable: ${message}]`, budget)
}

function keep(text: string, budget: Budget): string {
  const kept = storable(text.slice(0, Math.max(budget.left, 0)))
  budget.left -= text.length
  return kept
}

function truncated(text: string, bytes: number, maxBytes: number): string {
  let length = Math.min(text.length, START_LENGTH)
  for (;;) {
    // A cut through a pair would leave half of it behind.
    const start = text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "")
    const result = JSON.stringify({ truncated: true, bytes, start })
    if (length === 0 || Buffer.byteLength(result) <= maxBytes) return result
    length = Math.floor(length / 2)
  }
}
