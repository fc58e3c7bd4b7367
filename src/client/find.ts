import { createHash } from "node:crypto"
import { integer, parseOptions, text, type OptionsInput } from "../lib/options.ts"
import { isUuid } from "../lib/uuid.ts"
import { failure } from "../model/errors.ts"
import { ruleOfFilter, type JobFilter } from "../model/filter.ts"
import type { JobRecord } from "../model/job.ts"
import type { Comparison, Rule, RuleData } from "../model/rule.ts"
import { findPage } from "../postgres/find.ts"
import { pathIndexes, type JsonPath } from "../postgres/path-indexes.ts"
import { sqlState } from "../postgres/sqlstate.ts"
import type { Context } from "./context.ts"
import { recordOf } from "./record.ts"

export const findOptions = {
  /** Jobs per page. */
  limit: integer({ default: 50, min: 1, max: 1_000, doc: "Jobs per page." }),
  /** Where an earlier page of the same filter ended. */
  cursor: text({ doc: "Where an earlier page of the same filter ended." }),
}

export type FindOptions = OptionsInput<typeof findOptions>

/** Some of the jobs that a filter means, newest first. */
export interface Page {
  readonly jobs: readonly JobRecord[]
  /** For the next page; undefined: this was the last. */
  readonly cursor: string | undefined
}

/** One page; see `Millrace.find`. */
export async function find(context: Context, filter: JobFilter | Rule | undefined, given?: FindOptions): Promise<Page> {
  const { limit, cursor } = parseOptions("find", findOptions, given)
  const rule = ruleOfFilter(filter)
  const before = cursor === undefined ? undefined : positionOf(cursor, rule)
  await requireServed(context, rule)
  const { db, names } = context
  const rows = await findPage(db, names, { rule, limit, before }).catch((error: unknown) => {
    throw sqlState(error) === "57014" ? tooSlow(error) : error
  })
  const last = rows.length < limit ? undefined : rows.at(-1)
  return { jobs: rows.map(recordOf), cursor: last && cursorOf(last.id, rule) }
}

/** All of them, page by page. */
export async function* findAll(context: Context, filter: JobFilter | Rule | undefined): AsyncGenerator<JobRecord> {
  let cursor: string | undefined
  do {
    const page = await find(context, filter, { limit: 500, ...(cursor === undefined ? {} : { cursor }) })
    yield* page.jobs
    cursor = page.cursor
  } while (cursor !== undefined)
}

const markOf = (rule: Rule): string =>
  createHash("sha256").update(JSON.stringify(rule.data)).digest("base64url").slice(0, 12)

const cursorOf = (id: string, rule: Rule): string =>
  `${markOf(rule)}.${Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url")}`

/** @throws MILLRACE_BAD_CURSOR. */
function positionOf(cursor: string, rule: Rule): string {
  const [mark, position, ...more] = cursor.split(".")
  const hex = Buffer.from(position ?? "", "base64url").toString("hex")
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
  if (more.length > 0 || !isUuid(id)) {
    throw failure(
      "MILLRACE_BAD_CURSOR",
      "find.cursor is not a cursor that find() returned; leave it out for the first page.",
    )
  }
  if (mark === markOf(rule)) return id
  throw failure("MILLRACE_BAD_CURSOR", "find.cursor belongs to another filter; leave it out to begin with this one.")
}

/**
 * A search through payloads reads every job there is, so it wants an index, or states with few jobs.
 *
 * @throws MILLRACE_NOT_INDEXED with how to declare one.
 */
export async function requireServed({ db, names }: Context, rule: Rule): Promise<void> {
  const wanted = comparisons(rule.data).find(isJson)
  if (!wanted || served(rule.data, [])) return
  const declared = await pathIndexes(db, names)
  if (served(rule.data, declared)) return
  const path = wanted.path!.join(".")
  throw failure(
    "MILLRACE_NOT_INDEXED",
    `find: looking for ${wanted.field} "${path}" would read every job. Declare an index once with ` +
      `app.declareIndex({ ${wanted.field}: ${JSON.stringify(path)} }) and compare it by eq or in, or add state: "failed" or "cancelled".`,
  )
}

const isJson = ({ field }: Comparison): boolean => field === "payload" || field === "meta"

function comparisons(data: RuleData): Comparison[] {
  if ("all" in data) return data.all.flatMap(comparisons)
  if ("any" in data) return data.any.flatMap(comparisons)
  return "not" in data ? comparisons(data.not) : [data]
}

/** Whether something in it keeps the number of jobs small that have to be looked at. */
function served(data: RuleData, declared: readonly JsonPath[]): boolean {
  if ("all" in data) return data.all.some((part) => served(part, declared))
  if ("any" in data) return data.any.every((part) => served(part, declared))
  if ("not" in data) return false
  if (data.is !== "eq" && data.is !== "in") return false
  const values = (data.is === "in" ? data.value : [data.value]) as readonly unknown[]
  if (data.field === "state") return values.every((state) => state === "failed" || state === "cancelled")
  if (data.field === "id" || data.field === "uniqueKey") return true
  const same = (place: JsonPath) => place.field === data.field && place.path.join("\0") === data.path?.join("\0")
  return isJson(data) && declared.some(same)
}

const tooSlow = (cause: unknown) =>
  failure(
    "MILLRACE_QUERY_TIMEOUT",
    "find: the search took longer than 10 s and was stopped. Narrow it, by state, queue, name, worker, tag, key or a time range.",
    cause,
  )
