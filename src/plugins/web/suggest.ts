import { recordOf } from "../../client/record.ts"
import { queryStates, quoteValue } from "../../model/query.ts"
import { all } from "../../model/rule.ts"
import { findPage } from "../../postgres/find.ts"
import { textParam } from "./params.ts"
import { badRequest } from "./problem.ts"
import type { Call } from "./route.ts"

/** Completions: names that are known, and values of the newest jobs. What a visitor may not see is not suggested. */

const mostValues = 50
const newest = 200

export async function suggest(call: Call): Promise<{ readonly values: readonly { value: string; text: string }[] }> {
  const field = textParam(call.query, "field") ?? "name"
  const prefix = call.query.get("prefix") ?? ""
  const found = await valuesOf(call, field)
  const values = [...new Set(found)]
    .filter((value) => value.toLowerCase().startsWith(prefix.toLowerCase()))
    .toSorted()
    .slice(0, mostValues)
  return { values: values.map((value) => ({ value, text: isPath(field) ? value : quoteValue(value) })) }
}

const isPath = (field: string): boolean => field === "payload" || field === "meta"

async function valuesOf(call: Call, field: string): Promise<readonly string[]> {
  if (field === "state") return queryStates
  if (!["name", "queue", "worker", "tag", "payload", "meta"].includes(field)) {
    throw badRequest("field: state, name, queue, worker, tag, payload or meta.")
  }
  const jobs = await sample(call)
  // Whoever sees only some rows is told only what stands in those.
  const known = call.scope ? [] : await knownNames(call, field)
  if (field === "name" || field === "queue") return [...known, ...jobs.map((job) => job[field])]
  if (field === "worker") return [...known, ...jobs.flatMap((job) => job.worker ?? [])]
  if (field === "tag") return jobs.flatMap((job) => job.tags)
  return jobs.flatMap((job) => pathsOf(field === "payload" ? job.payload : job.meta, field, 4))
}

async function sample({ site, scope, known }: Call) {
  const { db, names } = site.context
  const rows = await findPage(db, names, {
    rule: scope ?? all(),
    limit: newest,
    before: undefined,
    patience: site.options.statementTimeout,
  })
  return rows.map((row) => site.redact.job(recordOf(row), known.visitor))
}

async function knownNames({ site }: Call, field: string): Promise<readonly string[]> {
  if (field === "queue") return (await site.app.queues()).map((queue) => queue.name)
  if (field !== "name" && field !== "worker") return []
  const workers = await site.app.workers()
  return field === "worker" ? workers.map((worker) => worker.id) : workers.flatMap((worker) => worker.handlers)
}

/** The places of plain values: `payload.customer.id`. */
function pathsOf(value: unknown, at: string, depth: number): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [at]
  if (depth === 0) return []
  return Object.entries(value)
    .filter(([key]) => /^[\w$@/#-]+$/.test(key))
    .flatMap(([key, entry]) => pathsOf(entry, `${at}.${key}`, depth - 1))
}
