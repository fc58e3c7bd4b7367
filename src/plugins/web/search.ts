import { createHash } from "node:crypto"
import { recordOf } from "../../client/record.ts"
import { isUuid } from "../../lib/uuid.ts"
import type { JobRecord } from "../../model/job.ts"
import { isNarrow, needsScan, parseQuery, termCosts, type IndexedPlace, type ParsedQuery } from "../../model/query.ts"
import { ruleFrom, type Rule } from "../../model/rule.ts"
import { findPage, findPart, type First } from "../../postgres/find.ts"
import { pathIndexes } from "../../postgres/path-indexes.ts"
import { looks } from "./limits.ts"
import { badRequest } from "./problem.ts"
import type { Call } from "./route.ts"
import type { Site } from "./site.ts"

/*
 * From the text in the search field to a page of jobs. What an index serves is answered as `app.find` would. What only
 * looking at each job can tell is bounded: one request looks at so many of the newest and says how far it came; the cursor
 * goes on from there. So nothing that anybody types costs more than a moment.
 */

export interface Search {
  readonly query: ParsedQuery
  /** With what narrows the visitor. */
  readonly rule: Rule
  /** Only looking at each job can tell. */
  readonly scan: boolean
  readonly declared: readonly IndexedPlace[]
}

/** @throws Refused for a query that cannot be read, or that asks about what is hidden. */
export async function readSearch(call: Call, text: string): Promise<Search> {
  const query = parseQuery(text)
  const [problem] = query.problems
  if (problem) throw badRequest(`q: ${problem.message}`, { problems: query.problems })
  call.site.redact.checkRule(query.rule)
  const declared = await declaredIn(call.site)
  const own = ruleFrom(query.rule)
  // The visitor's own rule is part of the question whether an index helps: it narrows, or it has to be looked at, too.
  const rule = call.scope ? own.and(call.scope) : own
  return { query, rule, declared, scan: needsScan(rule.data, declared) && !isNarrow(rule.data, declared) }
}

/** Declared paths are asked for once in a while: they hardly ever change. */
async function declaredIn(site: Site): Promise<readonly IndexedPlace[]> {
  const known = cache.get(site)
  if (known && performance.now() - known.at < 10_000) return known.places
  const places = await pathIndexes(site.context.db, site.context.names)
  cache.set(site, { at: performance.now(), places })
  return places
}

const cache = new WeakMap<Site, { at: number; places: readonly IndexedPlace[] }>()

/** What each term costs, for whoever typed it. */
export const termsOf = ({ query, declared }: Search) => {
  const costs = termCosts(query, declared)
  return query.terms.map(({ text, start, end, field }, index) => ({ text, start, end, field, cost: costs[index] }))
}

export interface SearchPage {
  readonly jobs: readonly JobRecord[]
  readonly cursor: string | null
  /** Set: no index serves this, so only so much was looked at; the cursor goes on. */
  readonly bounded: { readonly looked: number; readonly reached: Date | null } | null
}

export async function searchPage(
  { context: { db, names }, options }: Site,
  { rule, scan }: Search,
  { limit, cursor, first }: { readonly limit: number; readonly cursor: string | undefined; readonly first: First },
): Promise<SearchPage> {
  const mark = markOf(rule, first)
  const before = cursor === undefined ? undefined : positionOf(cursor, mark)
  const query = { rule, limit, before, first, patience: options.statementTimeout }
  if (!scan) {
    const rows = await findPage(db, names, query)
    const last = rows.length < limit ? undefined : rows.at(-1)
    return { jobs: rows.map(recordOf), cursor: last ? cursorOf(last.id, mark) : null, bounded: null }
  }
  const { rows, reached } = await findPart(db, names, { ...query, most: looks })
  const at = reached === undefined ? null : timeOf(reached)
  return {
    jobs: rows.map(recordOf),
    cursor: reached === undefined ? null : cursorOf(reached, mark),
    bounded: { looked: looks, reached: at },
  }
}

/** When a UUIDv7 was made, by its maker's clock. */
const timeOf = (id: string): Date => new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16))

/** A cursor says which search it belongs to, and in which order. */
const markOf = (rule: Rule, first: First): string =>
  createHash("sha256")
    .update(JSON.stringify([rule.data, first]))
    .digest("base64url")
    .slice(0, 10)

const cursorOf = (id: string, mark: string): string => `${mark}.${id.replaceAll("-", "")}`

/** @throws Refused. */
function positionOf(cursor: string, wanted: string): string {
  const [mark, hex = ""] = cursor.split(".")
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
  if (!isUuid(id)) throw badRequest("cursor: not one that a list returned; leave it out for the first page.")
  if (mark !== wanted) throw badRequest("cursor: belongs to another search; leave it out to begin with this one.")
  return id
}
