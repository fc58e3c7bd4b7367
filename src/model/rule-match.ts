import { failure } from "./errors.ts"
import type { Comparison, Rule, RuleData } from "./rule.ts"
import type { RunningJob } from "./running-job.ts"

/*
 * Rules about a job that runs, answered without the database, with the same meaning as their SQL: a comparison with what
 * is not there is false, and `not` of it is true.
 */

const known = new Set(["id", "queue", "name", "attempts", "crashes", "tags", "payload", "meta", "error"])

/** @throws MILLRACE_BAD_RULE for a field that only the database knows. */
export function requireRunning(rule: Rule): void {
  const strange = comparisons(rule.data).find(({ field }) => !known.has(field))
  if (!strange) return
  const text = `Rule: "${strange.field}" is not known of a job that runs; such a rule may ask for ${[...known].join(", ")}.`
  throw failure("MILLRACE_BAD_RULE", text)
}

function comparisons(data: RuleData): readonly Comparison[] {
  if ("all" in data) return data.all.flatMap(comparisons)
  if ("any" in data) return data.any.flatMap(comparisons)
  return "not" in data ? comparisons(data.not) : [data]
}

type Seen = RunningJob & { readonly payload?: unknown }

/** Whether the rule holds for this job, whose attempt has failed with this error. */
export const matchesRunning = (rule: Rule, job: Seen, error: unknown): boolean => matches(rule.data, job, error)

function matches(data: RuleData, job: Seen, error: unknown): boolean {
  if ("all" in data) return data.all.every((part) => matches(part, job, error))
  if ("any" in data) return data.any.some((part) => matches(part, job, error))
  if ("not" in data) return !matches(data.not, job, error)
  return compared(data, valueOf(data, job, error))
}

function valueOf({ field, path }: Comparison, job: Seen, error: unknown): unknown {
  if (field === "error") return (error as Error | undefined)?.message ?? String(error)
  if (field === "attempts") return job.attempt - 1
  const value = job[field as "name"] as unknown
  return (path ?? []).reduce<unknown>(
    (inside, key) =>
      typeof inside === "object" && inside !== null ? (inside as Record<string, unknown>)[key] : undefined,
    value,
  )
}

function compared({ field, is, value }: Comparison, actual: unknown): boolean {
  const absent = actual === undefined || actual === null || (field === "tags" && (actual as unknown[]).length === 0)
  if (is === "isNull") return absent
  if (is === "ne") return actual !== value
  if (absent) return value === null && is === "eq"
  if (is === "eq") return actual === value
  if (is === "in")
    return (value as unknown[]).some((one) => (Array.isArray(actual) ? actual.includes(one) : actual === one))
  if (is === "contains")
    return Array.isArray(actual) ? actual.includes(value) : typeof actual === "string" && actual.includes(String(value))
  if (is === "like") return typeof actual === "string" && likePattern(value as string).test(actual)
  return typeof actual === typeof value && ordered(is, actual as number, value as number)
}

function ordered(is: Comparison["is"], a: number, b: number): boolean {
  if (is === "gt") return a > b
  if (is === "gte") return a >= b
  return is === "lt" ? a < b : a <= b
}

/** SQL's LIKE; the only wildcards are `%` and `_`, so nothing backtracks for long. */
function likePattern(pattern: string): RegExp {
  let source = ""
  for (let at = 0; at < pattern.length; at++) {
    const sign = pattern[at]!
    if (sign === "%") source += "[^]*?"
    else if (sign === "_") source += "[^]"
    else
      source += (sign === "\\" && at + 1 < pattern.length ? pattern[++at]! : sign).replace(
        /[.*+?^${}()|[\]\\/]/,
        "\\$&",
      )
  }
  return new RegExp(`^${source}$`)
}
