import type { Comparison, Operator, Rule, RuleData } from "../model/rule.ts"
import type { FieldName } from "../model/rule-field.ts"
import type { Names } from "./sql.ts"

/*
 * Rules as SQL over one of the two tables of jobs, under the alias `j`. Columns come from the closed table below, every
 * value is bound. A comparison with a column keeps the column bare, so that an index can serve it.
 */

/** Which of the two tables: some columns exist in one only. */
export type Source = "jobs" | "history"

export interface CompiledRule {
  /** An SQL condition; null counts as false. */
  readonly sql: string
  readonly values: readonly unknown[]
}

/** Compiles a rule for one table. Its parameters are numbered from `first` (default 1). */
export function compileRule(rule: Rule, source: Source, names: Names, first = 1): CompiledRule {
  const values: unknown[] = []
  const bind = (value: unknown, type: string): string => `$${first - 1 + values.push(value)}::${type}`
  return { sql: compile(rule.data, { source, names, bind }), values }
}

interface Target {
  readonly source: Source
  readonly names: Names
  bind(value: unknown, type: string): string
}

function compile(data: RuleData, target: Target): string {
  if ("all" in data) return joined(data.all, "and", "true", target)
  if ("any" in data) return joined(data.any, "or", "false", target)
  if ("not" in data) return `((${compile(data.not, target)}) is not true)`
  return comparison(data, target)
}

function joined(parts: readonly RuleData[], word: string, none: string, target: Target): string {
  return parts.length === 0 ? none : `(${parts.map((part) => compile(part, target)).join(` ${word} `)})`
}

function comparison(data: Comparison, target: Target): string {
  const { field, is, value } = data
  if (field === "payload" || field === "meta") return inJson(`j.${field}`, data, target, held(data, target))
  const special = specials[field]
  if (special) return special(is, value, target)
  const { column, type } = columns[field]!
  if (typeof value === "number" && type(target.names) === "timestamptz") return fromNow(column, is, value, target)
  if (field === "finishedAt" && target.source === "jobs") return is === "isNull" || is === "ne" ? "true" : "false"
  return scalar(column, type(target.names), is, value, target)
}

const signs: Partial<Record<Operator, string>> = { eq: "=", gt: ">", gte: ">=", lt: "<", lte: "<=" }

function scalar(column: string, type: string, is: Operator, value: unknown, { bind }: Target): string {
  if (is === "isNull") return `${column} is null`
  if (is === "in") return `${column} = any(${bind(value, `${type}[]`)})`
  if (is === "ne") return `${column} is distinct from ${bind(value, type)}`
  if (is === "contains") return `${column} like ${bind(within(value as string), "text")}`
  if (is === "like") return `${column} like ${bind(value, "text")}`
  return `${column} ${signs[is]!} ${bind(value, type)}`
}

/** Compares with a moment that the database's clock decides. */
function fromNow(column: string, is: Operator, ms: number, { bind }: Target): string {
  const moment = `(now() + ${bind(ms, "float8")} * interval '1 millisecond')`
  return is === "ne" ? `${column} is distinct from ${moment}` : `${column} ${signs[is]!} ${moment}`
}

/** A LIKE pattern for "holds this text", exactly as written. */
const within = (text: string): string => `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`

type Column = { readonly column: string; type(names: Names): string }

const plain = (column: string, type: string): Column => ({ column: `j.${column}`, type: () => type })

const columns: Partial<Record<FieldName, Column>> = {
  id: plain("id", "uuid"),
  state: { column: "j.state", type: (names) => names.of("job_state") },
  name: plain("name", "text"),
  attempts: plain("attempts", "integer"),
  crashes: plain("crashes", "integer"),
  createdAt: plain("created_at", "timestamptz"),
  runAt: plain("run_at", "timestamptz"),
  startedAt: plain("started_at", "timestamptz"),
  finishedAt: plain("finished_at", "timestamptz"),
}

/**
 * A queue's waiting jobs stand in partial indexes that begin with the queue. Said state by state, each part has an index, so
 * that a queue with few jobs need not be looked for among all.
 */
function byQueue(is: Operator, value: unknown, target: Target): string {
  const plainly = scalar("j.queue", "text", is, value, target)
  if (target.source === "history" || (is !== "eq" && is !== "in")) return plainly
  const parts = [
    "j.state = 'pending' and j.crashes < 2 and (j.options ->> 'key') is null",
    "j.state = 'pending' and j.crashes >= 2 and (j.options ->> 'key') is null",
    "j.state = 'pending' and (j.options ->> 'key') is not null",
    "j.state in ('scheduled', 'retrying')",
    "j.state = 'running'",
    "j.state = 'blocked'",
  ]
  return `(${parts.map((part) => `(${part} and ${plainly})`).join(" or ")})`
}

type Compile = (is: Operator, value: unknown, target: Target) => string

const flipped: Partial<Record<Operator, Operator>> = { gt: "lt", gte: "lte", lt: "gt", lte: "gte" }

const specials: Partial<Record<FieldName, Compile>> = {
  // Stored as rank, which is minus the priority.
  priority: (is, value, target) => {
    const rank = Array.isArray(value) ? value.map((one) => -(one as number)) : -(value as number)
    return scalar("j.rank", "integer", flipped[is] ?? is, rank, target)
  },
  // Older than an hour: pushed before an hour ago. The column stays bare.
  age: (is, value, { bind }) =>
    `j.created_at ${signs[flipped[is]!]!} now() - ${bind(value, "float8")} * interval '1 millisecond'`,
  finishedAge: (is, value, { bind, source }) =>
    source === "jobs"
      ? "false"
      : `j.finished_at ${signs[flipped[is]!]!} now() - ${bind(value, "float8")} * interval '1 millisecond'`,
  duration: (is, value, { bind, source }) => {
    const end = source === "jobs" ? "case when j.state = 'running' then now() end" : "j.finished_at"
    return `(${end} - j.started_at) ${signs[is]!} ${bind(value, "float8")} * interval '1 millisecond'`
  },
  worker: byWorker,
  queue: byQueue,
  uniqueKey: byKey,
  tags: (is, value, { bind }) => {
    if (is === "isNull") return "coalesce(cardinality(j.tags), 0) = 0"
    return is === "in" ? `j.tags && ${bind(value, "text[]")}` : `j.tags @> array[${bind(value, "text")}]`
  },
  error: (is, value, target) => {
    if (is === "isNull") return "j.errors is null"
    const message = scalar("(e ->> 'message')", "text", is, value, target)
    return `(j.errors is not null and exists (select 1 from jsonb_array_elements(j.errors) e where ${message}))`
  },
}

/** While it runs, a job is held by an incarnation; afterwards it keeps the worker's id. */
function byWorker(is: Operator, value: unknown, target: Target): string {
  if (target.source === "history") return scalar("j.worker", "text", is, value, target)
  const workers = target.names.of("workers")
  if (is === "isNull") return "j.worker is null"
  if (is === "ne") return `((${byWorker("eq", value, target)}) is not true)`
  const named = scalar("w.id", "text", is, value, target)
  // The state lets the index of running jobs serve it.
  return `(j.state = 'running' and j.worker = any(array(select w.incarnation from ${workers} w where ${named})))`
}

/** Keys are stored behind their scope: `g|key`, `q|queue|key` or `n|name|key`. */
function byKey(is: Operator, value: unknown, target: Target): string {
  if (is === "isNull") return "j.unique_key is null"
  const given = `${target.names.of("given_key")}(j.unique_key)`
  if (is === "ne") return scalar(given, "text", is, value, target)
  return `(j.unique_key is not null and ${scalar(given, "text", is, value, target)})`
}

/**
 * What a payload must contain to have such a value at such a place: a condition that the index over payloads of failed jobs
 * can answer, in front of the exact one. A number in the path may be an index into a list, of which containing knows nothing.
 */
function held({ field, path, is, value }: Comparison, { source, bind }: Target): string {
  if (source !== "history" || field !== "payload" || (is !== "eq" && is !== "in")) return ""
  const values = is === "in" ? (value as readonly unknown[]) : [value]
  if (values.length === 0 || values.length > 20 || path!.some((key) => /^-?\d+$/.test(key))) return ""
  const objects = values.map((one) => path!.reduceRight<unknown>((inside, key) => ({ [key]: inside }), one))
  return `(${objects.map((one) => `j.payload @> ${bind(JSON.stringify(one), "text")}::jsonb`).join(" or ")})`
}

function inJson(column: string, { path, is, value }: Comparison, { bind }: Target, held: string): string {
  const keys = pathLiteral(path!)
  const at = `(${column} #> ${keys})`
  const text = `(${column} #>> ${keys})`
  if (is === "isNull") return `(${at} is null or ${at} = 'null')`
  const also = (exact: string): string => (held === "" ? exact : `(${held} and ${exact})`)
  if (is === "eq") return also(`${at} = ${bind(JSON.stringify(value), "text")}::jsonb`)
  if (is === "ne") return `${at} is distinct from ${bind(JSON.stringify(value), "text")}::jsonb`
  if (is === "in")
    return also(
      `${at} = any(${bind(
        (value as unknown[]).map((one) => JSON.stringify(one)),
        "text[]",
      )}::jsonb[])`,
    )
  if (is === "like") return `(jsonb_typeof(${at}) = 'string' and ${text} like ${bind(value, "text")})`
  if (is === "contains") return containsIn(at, text, value, bind)
  // Numbers compare with numbers and text with text: of anything else the comparison is false.
  if (typeof value === "number")
    return `(case when jsonb_typeof(${at}) = 'number' then ${text}::numeric end ${signs[is]!} ${bind(value, "numeric")})`
  return `(case when jsonb_typeof(${at}) = 'string' then ${text} collate "C" end ${signs[is]!} ${bind(value, "text")})`
}

/** Of text, a part of it; of a list, an entry. */
function containsIn(at: string, text: string, value: unknown, bind: Target["bind"]): string {
  const entry = `(jsonb_typeof(${at}) = 'array' and ${at} @> ${bind(JSON.stringify([value]), "text")}::jsonb)`
  if (typeof value !== "string") return entry
  return `(${entry} or (jsonb_typeof(${at}) = 'string' and ${text} like ${bind(within(value), "text")}))`
}

/** A `text[]` constant, so that an index on the same path can be recognised: a bound path never is. */
export function pathLiteral(path: readonly string[]): string {
  const array = `{${path.map((key) => `"${key.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`
  const escaped = array.replaceAll("'", "''").replaceAll("\\", "\\\\")
  return `${array.includes("\\") ? "E" : ""}'${array.includes("\\") ? escaped : array.replaceAll("'", "''")}'::text[]`
}
