import { didYouMean } from "../lib/nearest.ts"
import { quote } from "../lib/quote.ts"
import { failure } from "./errors.ts"

/** What a field holds, which decides what it can be compared with. */
export type FieldKind = "text" | "name" | "id" | "state" | "number" | "time" | "age" | "tags" | "error" | "json"

/** Every field that a rule can speak of. */
export const ruleFields = {
  id: { kind: "id", doc: "The job's id." },
  state: { kind: "state", doc: "The job's state." },
  queue: { kind: "name", doc: "The queue." },
  name: { kind: "name", doc: "The job's name." },
  priority: { kind: "number", doc: "Higher runs first." },
  attempts: { kind: "number", doc: "Attempts that count against `maxAttempts`." },
  crashes: { kind: "number", doc: "Times that a worker was lost with the job." },
  age: { kind: "age", doc: "Time since the job was pushed." },
  finishedAge: { kind: "age", doc: "Time since the job finished; unfinished jobs have none." },
  duration: { kind: "age", doc: "How long the latest attempt ran, or has been running." },
  createdAt: { kind: "time", doc: "When it was pushed." },
  runAt: { kind: "time", doc: "When it is, or was, due." },
  startedAt: { kind: "time", doc: "When its latest attempt started." },
  finishedAt: { kind: "time", doc: "When it finished." },
  worker: { kind: "text", doc: "Id of the worker that holds it, or finished it." },
  tags: { kind: "tags", doc: "The job's tags." },
  uniqueKey: { kind: "text", doc: "The unique key as given at the push, without its scope." },
  error: { kind: "error", doc: "Messages of its kept errors." },
  payload: { kind: "json", doc: "A value inside the payload." },
  meta: { kind: "json", doc: "A value inside the meta." },
} as const satisfies Readonly<Record<string, { readonly kind: FieldKind; readonly doc: string }>>

export type FieldName = keyof typeof ruleFields

// What the reference systems call them.
const hints: Readonly<Record<string, string>> = {
  job: "name",
  func: "name",
  created_at: "createdAt",
  scheduled_at: "runAt",
  started_at: "startedAt",
  completed_at: "finishedAt",
  finished_at: "finishedAt",
  taken_by: "worker",
  unique_key: "uniqueKey",
  args: "payload",
  kwargs: "payload",
  worker_id: "worker",
}

/** @throws MILLRACE_BAD_RULE for a name that no field has, with the nearest one. */
export function fieldNamed(name: string): { readonly kind: FieldKind; readonly doc: string } {
  if (Object.hasOwn(ruleFields, name)) return ruleFields[name as FieldName]
  const hint = hints[name] ? ` Did you mean ${quote(hints[name])}?` : didYouMean(name, Object.keys(ruleFields))
  throw failure(
    "MILLRACE_BAD_RULE",
    `Rule: there is no field ${quote(name)}.${hint} Fields are ${Object.keys(ruleFields).join(", ")}.`,
  )
}

/** @throws MILLRACE_BAD_RULE for an empty path or key. */
export function pathOf(field: string, path: string | readonly string[]): readonly string[] {
  const keys = typeof path === "string" ? path.split(".") : path
  const fine = Array.isArray(keys) && keys.length > 0 && keys.length <= 20
  if (fine && keys.every((key) => typeof key === "string" && key !== "" && !key.includes("\0"))) return keys
  throw failure(
    "MILLRACE_BAD_RULE",
    `Rule: ${quote(path)} is not a path into the ${field}; write keys with dots, such as "customer.id", or a list of keys.`,
  )
}
