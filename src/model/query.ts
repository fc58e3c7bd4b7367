import type { Comparison, Operator, RuleData } from "./rule.ts"

/*
 * The text in the search field: `state:failed name:Send* queue:a,b -tag:test payload.user.id:42 error:"ECONNRESET"
 * attempt>=3 duration>5s created:-24h..-1h worker:x`. Terms stand side by side and must all hold; a comma means "or".
 *
 * The browser and the server read it with this one file: it imports types only, touches nothing, and never throws. What it
 * makes is the data of a rule, which the server checks again when it turns it into SQL.
 */

/** A word of the query as it was understood. */
export interface QueryTerm {
  /** As written. */
  readonly text: string
  /** Where it stands in the query. */
  readonly start: number
  readonly end: number
  readonly negated: boolean
  /** The field of the rule. */
  readonly field: Comparison["field"]
  /** Of payload and meta. */
  readonly path?: readonly string[]
  readonly rule: RuleData
}

/** A word that cannot be understood, with what to write instead. */
export interface QueryProblem {
  readonly text: string
  readonly start: number
  readonly end: number
  readonly message: string
}

export interface ParsedQuery {
  readonly terms: readonly QueryTerm[]
  readonly problems: readonly QueryProblem[]
  /** All terms together; of none, every job. */
  readonly rule: RuleData
}

/** A place inside payloads or meta that has an index. */
export interface IndexedPlace {
  readonly field: "payload" | "meta"
  readonly path: readonly string[]
}

/** How a term is answered: by an index, by reading what is left, or by reading everything. */
export type TermCost = "indexed" | "filtered" | "scanned"

type Kind = "state" | "text" | "key" | "tags" | "id" | "number" | "time" | "span" | "error"

/** The fields by the names that people may write. */
export const queryFields: Readonly<Record<string, { readonly field: Comparison["field"]; readonly kind: Kind }>> = {
  state: { field: "state", kind: "state" },
  name: { field: "name", kind: "text" },
  queue: { field: "queue", kind: "text" },
  worker: { field: "worker", kind: "text" },
  key: { field: "uniqueKey", kind: "text" },
  tag: { field: "tags", kind: "tags" },
  id: { field: "id", kind: "id" },
  attempt: { field: "attempts", kind: "number" },
  crashes: { field: "crashes", kind: "number" },
  priority: { field: "priority", kind: "number" },
  created: { field: "createdAt", kind: "time" },
  due: { field: "runAt", kind: "time" },
  started: { field: "startedAt", kind: "time" },
  finished: { field: "finishedAt", kind: "time" },
  duration: { field: "duration", kind: "span" },
  error: { field: "error", kind: "error" },
}

const otherNames: Readonly<Record<string, string>> = {
  kind: "name",
  job: "name",
  tags: "tag",
  node: "worker",
  attempts: "attempt",
  run: "due",
  uniquekey: "key",
  args: "payload",
}

export const queryStates = [
  "scheduled",
  "pending",
  "running",
  "retrying",
  "blocked",
  "succeeded",
  "failed",
  "cancelled",
] as const

interface Word {
  readonly text: string
  readonly start: number
  readonly end: number
  readonly negated: boolean
  readonly key: string | undefined
  readonly sign: ":" | ">" | ">=" | "<" | "<="
  readonly values: readonly Value[]
}

interface Value {
  readonly text: string
  /** Quoted: taken literally, also where it looks like a number or a pattern. */
  readonly quoted: boolean
}

class Misread extends Error {}

/** Reads a query. Words that cannot be understood are left out of the rule and told in `problems`. */
export function parseQuery(text: string): ParsedQuery {
  const terms: QueryTerm[] = []
  const problems: QueryProblem[] = []
  for (const word of wordsOf(text.slice(0, 4_000))) {
    const { start, end } = word
    try {
      terms.push({ text: word.text, start, end, negated: word.negated, ...understood(word) })
    } catch (error) {
      problems.push({ text: word.text, start, end, message: (error as Error).message })
    }
  }
  return { terms, problems, rule: { all: terms.map((term) => term.rule) } }
}

/** The query with its words separated by single spaces: what two spellings of one query have in common. */
export const normalQuery = (text: string): string =>
  wordsOf(text)
    .map((word) => word.text)
    .join(" ")

/** A query with one more word, or unchanged when it is there. */
export function withTerm(query: string, term: string): string {
  const words = wordsOf(query).map((word) => word.text)
  return words.includes(term) ? words.join(" ") : [...words, term].join(" ")
}

/** A query without the words of a field. */
export const withoutField = (query: string, field: string): string =>
  wordsOf(query)
    .filter((word) => word.key?.toLowerCase() !== field.toLowerCase())
    .map((word) => word.text)
    .join(" ")

/** A value as it has to be written behind a colon. */
export const quoteValue = (value: string): string =>
  /^[^\s",*<>=][^\s",*]*$/.test(value) && !value.includes("..") ? value : `"${value.replaceAll(/["\\]/g, "\\$&")}"`

// Reading words.

function wordsOf(text: string): Word[] {
  const words: Word[] = []
  let at = 0
  while (at < text.length) {
    if (/\s/.test(text[at]!)) at += 1
    else {
      const word = wordAt(text, at)
      words.push(word)
      at = word.end
    }
  }
  return words
}

function wordAt(text: string, start: number): Word {
  const negated = text[start] === "-" && start + 1 < text.length && !/\s/.test(text[start + 1]!)
  const from = negated ? start + 1 : start
  const head = /^([A-Za-z][\w.$@/#-]*?)(:>=|:<=|:>|:<|>=|<=|!=|:|=|>|<)/.exec(text.slice(from))
  const [, key, written] = head ?? []
  const { values, end } = valuesAt(text, from + (head?.[0].length ?? 0))
  const sign = written === undefined || written === "!=" || written === "=" ? ":" : written.replace(/^:(?=.)/, "")
  return {
    text: text.slice(start, end),
    start,
    end,
    negated: negated !== (written === "!="),
    key,
    sign: sign as Word["sign"],
    values,
  }
}

function valuesAt(text: string, start: number): { values: Value[]; end: number } {
  const values: Value[] = []
  let at = start
  for (;;) {
    const quoted = /^"((?:[^"\\]|\\.)*)"?/s.exec(text.slice(at))
    const plain = quoted ? undefined : /^[^\s,]*/.exec(text.slice(at))
    values.push(
      quoted
        ? { text: quoted[1]!.replaceAll(/\\(.)/gs, "$1"), quoted: true }
        : { text: plain?.[0] ?? "", quoted: false },
    )
    at += (quoted ?? plain)?.[0].length ?? 0
    if (text[at] !== ",") break
    at += 1
  }
  // What stands right behind a closing quote is part of no value, and must not be read for ever.
  if (at === start && at < text.length && !/\s/.test(text[at]!)) at += 1
  return { values, end: at }
}

// Understanding them.

function understood(word: Word): Pick<QueryTerm, "field" | "path" | "rule"> {
  const { key, values, negated } = word
  if (key === undefined) return free(word)
  if (values.every((value) => value.text === "" && !value.quoted)) throw new Misread(`"${key}" needs a value.`)
  const [root = "", ...path] = key.split(".")
  const name = otherNames[root.toLowerCase()] ?? root.toLowerCase()
  if (name === "payload" || name === "meta") {
    if (path.length === 0 || path.includes("")) throw new Misread(`Write a path, such as ${name}.user.id:42.`)
    return { field: name, path, rule: turned(negated, inJson(name, path, word)) }
  }
  const known = path.length === 0 && Object.hasOwn(queryFields, name) ? queryFields[name] : undefined
  if (!known) throw new Misread(`There is no field "${key}". Fields are ${fieldNames.join(", ")}.`)
  if (known.kind === "state") return { field: "state", rule: states(word) }
  return { field: known.field, rule: turned(negated, compared(known.field, known.kind, word)) }
}

const fieldNames = [...Object.keys(queryFields), "payload.…", "meta.…"]

const turned = (negated: boolean, rule: RuleData): RuleData => (negated ? { not: rule } : rule)

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** A word alone: an id, or part of a name. */
function free({ values, negated }: Word): Pick<QueryTerm, "field" | "rule"> {
  const text = values.map((value) => value.text).join(",")
  if (uuid.test(text)) return { field: "id", rule: turned(negated, { field: "id", is: "eq", value: text }) }
  const rule: RuleData = text.includes("*")
    ? { field: "name", is: "like", value: pattern(text) }
    : { field: "name", is: "contains", value: text }
  return { field: "name", rule: turned(negated, rule) }
}

/** Negated, they are all the others: so the tables that hold none of them need not be asked. */
function states({ values, sign, negated }: Word): RuleData {
  requireColon("state", sign)
  const named = values.map(({ text }) => text.toLowerCase())
  const wrong = named.find((name) => !(queryStates as readonly string[]).includes(name))
  if (wrong !== undefined) throw new Misread(`"${wrong}" is no state. States are ${queryStates.join(", ")}.`)
  const wanted = negated ? queryStates.filter((state) => !named.includes(state)) : named
  return wanted.length === 1
    ? { field: "state", is: "eq", value: wanted[0] }
    : { field: "state", is: "in", value: wanted }
}

function compared(field: Comparison["field"], kind: Kind, word: Word): RuleData {
  if (kind === "number") return numbers(field, word)
  if (kind === "time") return times(field, word)
  if (kind === "span") return spans(field, word)
  requireColon(field, word.sign)
  if (kind === "id") return ids(word.values)
  if (kind === "tags") return tags(word.values)
  if (kind === "error") return anyOf(word.values.map((value) => errorText(value)))
  return texts(field, word.values)
}

function requireColon(field: string, sign: Word["sign"]): void {
  if (sign !== ":") throw new Misread(`"${field}" is compared with a colon.`)
}

const anyOf = (rules: readonly RuleData[]): RuleData => (rules.length === 1 ? rules[0]! : { any: rules })

const hasPattern = ({ text, quoted }: Value): boolean => !quoted && text.includes("*")

/** As LIKE writes it: a star is any text, all else is meant as it stands. */
const pattern = (text: string): string => text.replaceAll(/[\\%_]/g, "\\$&").replaceAll(/\*+/g, "%")

function texts(field: Comparison["field"], values: readonly Value[]): RuleData {
  const plain = values.filter((value) => !hasPattern(value)).map((value) => value.text)
  const rules: RuleData[] = values
    .filter(hasPattern)
    .map((value) => ({ field, is: "like", value: pattern(value.text) }) as const)
  if (plain.length === 1) rules.unshift({ field, is: "eq", value: plain[0] })
  else if (plain.length > 1) rules.unshift({ field, is: "in", value: plain })
  return anyOf(rules)
}

function ids(values: readonly Value[]): RuleData {
  const wrong = values.find((value) => !uuid.test(value.text))
  if (wrong) throw new Misread(`"${wrong.text}" is no id.`)
  return values.length === 1
    ? { field: "id", is: "eq", value: values[0]!.text }
    : { field: "id", is: "in", value: values.map((value) => value.text) }
}

function tags(values: readonly Value[]): RuleData {
  if (values.some(hasPattern)) throw new Misread("Tags are compared whole; a star does not stand for any text here.")
  return values.length === 1
    ? { field: "tags", is: "contains", value: values[0]!.text }
    : { field: "tags", is: "in", value: values.map((value) => value.text) }
}

const errorText = (value: Value): RuleData =>
  hasPattern(value)
    ? { field: "error", is: "like", value: `%${pattern(value.text)}%` }
    : { field: "error", is: "contains", value: value.text }

const signs = { ":": "eq", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte" } as const

/** The two ends of `a..b`; one may be left out. */
function rangeOf({ sign, values }: Word): { readonly low: string; readonly high: string } | undefined {
  if (sign !== ":" || values.length !== 1 || values[0]!.quoted) return undefined
  const found = /^(.*?)\.\.(.*)$/.exec(values[0]!.text)
  if (!found || (found[1] === "" && found[2] === "")) return undefined
  return { low: found[1]!, high: found[2]! }
}

/** One comparison for each end that is there. */
function between(
  field: Comparison["field"],
  { low, high }: { readonly low: string; readonly high: string },
  top: Operator,
  read: (text: string) => unknown,
): RuleData {
  const parts: RuleData[] = []
  if (low !== "") parts.push({ field, is: "gte", value: read(low) })
  if (high !== "") parts.push({ field, is: top, value: read(high) })
  return parts.length === 1 ? parts[0]! : { all: parts }
}

function numbers(field: Comparison["field"], word: Word): RuleData {
  const range = rangeOf(word)
  if (range) return between(field, range, "lte", numberOf)
  const values = word.values.map((value) => numberOf(value.text))
  if (values.length === 1) return { field, is: signs[word.sign], value: values[0] }
  requireColon(field, word.sign)
  return { field, is: "in", value: values }
}

function numberOf(text: string): number {
  const value = Number(text)
  if (text.trim() === "" || !Number.isSafeInteger(value)) throw new Misread(`"${text}" is not a whole number.`)
  return value
}

function times(field: Comparison["field"], word: Word): RuleData {
  const range = rangeOf(word)
  if (range) return between(field, range, "lt", momentOf)
  if (word.values.length !== 1) throw new Misread(`"${field}" takes one time, or a range such as -24h..-1h.`)
  const { text } = word.values[0]!
  if (word.sign !== ":") return { field, is: signs[word.sign], value: momentOf(text) }
  if (!day.test(text)) return { field, is: "gte", value: momentOf(text) } // since then
  const midnight = Date.parse(`${text}T00:00:00Z`)
  if (Number.isNaN(midnight)) throw new Misread(`"${text}" is no day.`)
  const next = new Date(midnight + 86_400_000).toISOString()
  return {
    all: [
      { field, is: "gte", value: new Date(midnight).toISOString() },
      { field, is: "lt", value: next },
    ],
  }
}

const day = /^\d{4}-\d\d-\d\d$/

/** ISO text, or milliseconds from now on. */
function momentOf(text: string): string | number {
  if (text === "now") return 0
  const [, sign, span] = /^([+-])(.+)$/.exec(text) ?? []
  if (span !== undefined) return sign === "-" ? -spanOf(span) : spanOf(span)
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new Misread(`"${text}" is no time; write -24h, +10m, now, or 2026-01-31T12:00:00Z.`)
  return new Date(at).toISOString()
}

function spans(field: Comparison["field"], word: Word): RuleData {
  const range = rangeOf(word)
  if (range) return between(field, range, "lte", spanOf)
  if (word.values.length !== 1) throw new Misread(`"${field}" takes one duration, or a range such as 1s..5s.`)
  const is = word.sign === ":" ? "gte" : signs[word.sign]
  return { field, is, value: spanOf(word.values[0]!.text) }
}

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
const longest = 36_525 * 86_400_000

function spanOf(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/.test(text))
    throw new Misread(`"${text}" is no duration, such as 90s or 1h30m.`)
  let sum = 0
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    sum += Number(count) * units[unit as keyof typeof units]
  }
  if (sum > longest) throw new Misread(`"${text}" is longer than 100 years.`)
  return Math.round(sum)
}

function inJson(field: "payload" | "meta", path: readonly string[], { sign, values }: Word): RuleData {
  if (sign !== ":") {
    const { text, quoted } = values[0]!
    const number = quoted || text === "" ? Number.NaN : Number(text)
    return { field, path, is: signs[sign], value: Number.isFinite(number) ? number : text }
  }
  const rules: RuleData[] = values
    .filter(hasPattern)
    .map((value) => ({ field, path, is: "like", value: pattern(value.text) }) as const)
  const plain = values.filter((value) => !hasPattern(value)).flatMap(jsonValues)
  if (plain.length === 1) rules.unshift({ field, path, is: "eq", value: plain[0] })
  else if (plain.length > 1) rules.unshift({ field, path, is: "in", value: plain })
  return anyOf(rules)
}

/** `42` may stand in a payload as a number or as text; both are meant. */
function jsonValues({ text, quoted }: Value): (string | number | boolean | null)[] {
  if (quoted) return [text]
  if (text === "true" || text === "false") return [text === "true", text]
  if (text === "null") return [null, text]
  return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text)) ? [Number(text), text] : [text]
}

// What a search costs.

const small: readonly unknown[] = ["failed", "cancelled", "running", "blocked", "retrying"]

/** How each term is answered, in the order of `terms`. */
export const termCosts = (query: ParsedQuery, declared: readonly IndexedPlace[] = []): TermCost[] => {
  const failedOnly = query.terms.some((term) => only(term.rule, "state", ["failed"]))
  return query.terms.map((term) => costOf(term, declared, failedOnly))
}

function costOf(term: QueryTerm, declared: readonly IndexedPlace[], failedOnly: boolean): TermCost {
  if (term.negated && term.field !== "state") return "filtered"
  const cost = ruleCost(term.rule, declared, failedOnly)
  return cost
}

function ruleCost(data: RuleData, declared: readonly IndexedPlace[], failedOnly: boolean): TermCost {
  if ("all" in data) return worst(data.all.map((part) => ruleCost(part, declared, failedOnly)))
  if ("any" in data) return worst(data.any.map((part) => ruleCost(part, declared, failedOnly)))
  if ("not" in data) return "filtered"
  const whole = data.is === "eq" || data.is === "in"
  if (data.field === "payload" || data.field === "meta") {
    if (whole && data.field === "payload" && failedOnly) return "indexed"
    return whole && declared.some((place) => isPlace(place, data)) ? "indexed" : "scanned"
  }
  if (data.field === "tags") return "indexed"
  if (["state", "queue", "name", "worker", "uniqueKey", "id"].includes(data.field)) return whole ? "indexed" : "scanned"
  if (["createdAt", "finishedAt"].includes(data.field)) return "indexed"
  return failedOnly ? "filtered" : "scanned"
}

const worst = (costs: readonly TermCost[]): TermCost =>
  costs.includes("scanned") ? "scanned" : costs.includes("filtered") ? "filtered" : "indexed"

const isPlace = (place: IndexedPlace, data: Comparison): boolean =>
  place.field === data.field && place.path.join("\0") === data.path?.join("\0")

function only(data: RuleData, field: string, allowed: readonly unknown[]): boolean {
  if ("all" in data) return data.all.some((part) => only(part, field, allowed))
  if ("any" in data) return data.any.length > 0 && data.any.every((part) => only(part, field, allowed))
  if ("not" in data || data.field !== field) return false
  if (data.is === "eq") return allowed.includes(data.value)
  return data.is === "in" && (data.value as readonly unknown[]).every((value) => allowed.includes(value))
}

/** Whether something in a rule leaves few jobs to look at, whatever else it says. */
export function isNarrow(data: RuleData, declared: readonly IndexedPlace[] = []): boolean {
  if ("all" in data) return data.all.some((part) => isNarrow(part, declared))
  if ("any" in data) return data.any.length > 0 && data.any.every((part) => isNarrow(part, declared))
  if ("not" in data) return false
  if (data.field === "tags") return data.is !== "isNull"
  if (data.is !== "eq" && data.is !== "in") return false
  if (data.field === "id" || data.field === "uniqueKey") return true
  if (data.field === "state") return only(data, "state", small)
  return declared.some((place) => isPlace(place, data))
}

/** Whether a rule asks for something that only looking at each job can tell. */
export function needsScan(data: RuleData, declared: readonly IndexedPlace[] = []): boolean {
  if (isNarrow(data, declared)) return false
  if ("all" in data) return data.all.some((part) => needsScan(part, declared))
  if ("any" in data) return data.any.some((part) => needsScan(part, declared))
  if ("not" in data) return true
  return ruleCost(data, declared, false) !== "indexed"
}
