import type { Connection, Database } from "../model/database.ts"
import type { Comparison, Rule, RuleData } from "../model/rule.ts"
import { finalStates, unfinishedStates, type JobState } from "../model/state.ts"
import { findJobs, type JobRow } from "./jobs.ts"
import { explained } from "./missing.ts"
import { compileRule, type Source } from "./rule-sql.ts"
import type { Names } from "./sql.ts"

/*
 * One page of jobs by id, newest first or oldest first: UUIDv7 grows with time, so ids are the order of the pushes.
 *
 * What is common is found by walking back from the newest; what is rare would be walked past for seconds. So each table
 * is asked in two steps: the newest `walk` rows are looked at one by one, and only when they do not fill the page the
 * rest is asked by index. The second step is written so that PostgreSQL cannot choose to walk again
 * (`offset 0` keeps the boundary out of the search), whatever its statistics say. docs/design/find.md has the figures.
 *
 * Both tables are read in one snapshot: a job on its way to the history is seen once.
 */

export interface PageQuery {
  readonly rule: Rule
  readonly limit: number
  /** Where the page before ended: only jobs behind this id. */
  readonly before: string | undefined
  /** Default `newest`. */
  readonly first?: First
  /** Longest time of one statement, ms. Default 10,000. */
  readonly patience?: number
}

export type First = "newest" | "oldest"

/** The same indexes serve both, read forwards or backwards. */
const orders = {
  newest: { sort: "desc", past: "<", start: "ffffffff-ffff-ffff-ffff-ffffffffffff", sign: -1 },
  oldest: { sort: "asc", past: ">", start: "00000000-0000-0000-0000-000000000000", sign: 1 },
} as const

type Order = (typeof orders)[First]

const orderOf = ({ first = "newest" }: Pick<PageQuery, "first">): Order => orders[first]

const inOrder =
  ({ sign }: Order) =>
  (a: string, b: string): number =>
    a < b ? -sign : a > b ? sign : 0

/** How many of the first rows are looked at one by one. */
const walk = 20_000

/** Longest time of one statement of a search, ms. */
const patience = 10_000

/** The page's rows, in order. */
export async function findPage(db: Database, names: Names, query: PageQuery): Promise<JobRow[]> {
  return snapshot(
    db,
    async (tx) => {
      const ids = await pageOfIds(tx, names, query)
      return rowsOf(tx, names, ids, orderOf(query))
    },
    query.patience,
  )
}

async function rowsOf(tx: Connection, names: Names, ids: readonly string[], order: Order): Promise<JobRow[]> {
  if (ids.length === 0) return []
  const rows = await findJobs(tx, names, ids)
  const compare = inOrder(order)
  return rows.toSorted((a, b) => compare(a.id, b.id))
}

/** The page's ids, in order. */
export const findIds = (db: Database, names: Names, query: PageQuery): Promise<string[]> =>
  snapshot(db, (tx) => pageOfIds(tx, names, query), query.patience)

/** A read of both tables as they are at one moment. */
export function snapshot<T>(db: Database, run: (tx: Connection) => Promise<T>, limit: number = patience): Promise<T> {
  return db.transaction(async (tx) => {
    await tx.query("set transaction isolation level repeatable read, read only")
    // Compiling a statement that runs once costs more than it saves.
    await tx.query("select set_config('jit', 'off', true), set_config('statement_timeout', $1, true)", [`${limit}`])
    return run(tx).catch((error: unknown) => {
      throw explained(error)
    })
  })
}

async function pageOfIds(tx: Connection, names: Names, query: PageQuery): Promise<string[]> {
  const sources = sourcesOf(query.rule.data)
  const ids = new Set<string>()
  if (sources.jobs) for (const id of await idsFrom(tx, names, "jobs", query)) ids.add(id)
  if (sources.history) {
    // The planner thinks nothing of block indexes; a scan of all the history is what it would rather do.
    await tx.query("select set_config('enable_seqscan', 'off', true)")
    for (const id of await idsFrom(tx, names, "history", query)) ids.add(id)
  }
  return [...ids].toSorted(inOrder(orderOf(query))).slice(0, query.limit)
}

async function idsFrom(tx: Connection, names: Names, source: Source, query: PageQuery): Promise<string[]> {
  const rule = compileRule(query.rule, source, names, 3)
  const order = orderOf(query)
  const values = [query.limit, query.before ?? order.start, ...rule.values]
  const table = names.of(source === "jobs" ? "jobs" : "jobs_history")
  const ask = async (sql: string) => (await tx.query<{ id: string }>(sql, values)).rows.map((row) => row.id)
  if (pinsIds(query.rule.data)) return ask(plain(table, rule.sql, order))
  const first = await ask(walked(table, rule.sql, order))
  return first.length === query.limit ? first : [...first, ...(await ask(deeper(table, rule.sql, order)))]
}

const plain = (table: string, rule: string, { sort, past }: Order): string =>
  `select j.id from ${table} j where j.id ${past} $2::uuid and (${rule}) order by j.id ${sort} limit $1`

const walked = (table: string, rule: string, { sort, past }: Order): string =>
  `select j.id from (select * from ${table} j where j.id ${past} $2::uuid order by j.id ${sort} limit ${walk}) j
   where ${rule} order by j.id ${sort} limit $1`

const deeper = (table: string, rule: string, { sort, past }: Order): string =>
  `select id from (
     select j.id from ${table} j
     where ${rule}
     offset 0) d
   where id ${past} (
     select b.id from ${table} b where b.id ${past} $2::uuid order by b.id ${sort} offset ${walk - 1} limit 1)
   order by id ${sort} limit $1`

/** Whether the rule names ids: the primary key answers it at once. */
function pinsIds(data: RuleData): boolean {
  if ("all" in data) return data.all.some(pinsIds)
  return "field" in data && data.field === "id" && (data.is === "eq" || data.is === "in")
}

/** Which tables can hold what the rule means. */
export function sourcesOf(data: RuleData): { readonly jobs: boolean; readonly history: boolean } {
  if ("all" in data) return data.all.map(sourcesOf).reduce(both, { jobs: true, history: true })
  if ("any" in data) return data.any.map(sourcesOf).reduce(either, { jobs: false, history: false })
  if ("not" in data) return { jobs: true, history: true }
  return ofComparison(data)
}

interface Sources {
  readonly jobs: boolean
  readonly history: boolean
}
const both = (a: Sources, b: Sources): Sources => ({ jobs: a.jobs && b.jobs, history: a.history && b.history })
const either = (a: Sources, b: Sources): Sources => ({ jobs: a.jobs || b.jobs, history: a.history || b.history })

function ofComparison({ field, is, value }: Comparison): Sources {
  const ended = field === "finishedAge" || (field === "finishedAt" && is !== "isNull" && is !== "ne")
  if (ended) return { jobs: false, history: true }
  if (field !== "state" || is === "ne") return { jobs: true, history: true }
  const wanted = (is === "in" ? value : [value]) as readonly JobState[]
  const among = (states: readonly string[]) => wanted.some((state) => states.includes(state))
  return { jobs: among(unfinishedStates), history: among(finalStates) }
}

/** What a look at some of the jobs has found, and how far it came. */
export interface PartOfPage {
  readonly rows: readonly JobRow[]
  /** Everything from the first up to this id has been looked at; undefined: there is no more. */
  readonly reached: string | undefined
}

/**
 * Looks at the next `most` jobs of each table one by one, whatever the rule asks for: the way for searches that no index
 * serves. What it costs does not depend on how many jobs there are; where it stopped, the next call goes on.
 */
export async function findPart(
  db: Database,
  names: Names,
  query: PageQuery & { readonly most: number },
): Promise<PartOfPage> {
  return snapshot(
    db,
    async (tx) => {
      const sources = sourcesOf(query.rule.data)
      const parts = []
      if (sources.jobs) parts.push(await lookAt(tx, names, "jobs", query))
      if (sources.history) parts.push(await lookAt(tx, names, "history", query))
      // Behind the nearer of the two ends, one of the tables has not been looked at.
      const compare = inOrder(orderOf(query))
      const [end] = parts.flatMap((part) => part.end ?? []).toSorted(compare)
      const found = parts.flatMap((part) => part.ids).filter((id) => end === undefined || compare(id, end) <= 0)
      const ids = [...new Set(found)].toSorted(compare).slice(0, query.limit)
      const reached = ids.length === query.limit ? ids.at(-1) : end
      return { rows: await rowsOf(tx, names, ids, orderOf(query)), reached }
    },
    query.patience,
  )
}

async function lookAt(
  tx: Connection,
  names: Names,
  source: Source,
  { rule: wanted, limit, before, most, first }: PageQuery & { readonly most: number },
): Promise<{ readonly ids: readonly string[]; readonly end: string | undefined }> {
  const rule = compileRule(wanted, source, names, 4)
  const { sort, past, start, sign } = orderOf(first === undefined ? {} : { first })
  const table = names.of(source === "jobs" ? "jobs" : "jobs_history")
  const { rows } = await tx.query<{ ids: string[] | null; seen: number; last: string | null }>(
    `with seen as materialized (
       select j.id, (${rule.sql}) is true as hit from ${table} j where j.id ${past} $2::uuid order by j.id ${sort} limit $3)
     select array(select id::text from seen where hit order by id ${sort} limit $1) as ids,
       (select count(*) from seen)::integer as seen,
       (select id::text from seen order by id ${sign < 0 ? "asc" : "desc"} limit 1) as last`,
    [limit, before ?? start, most, ...rule.values],
  )
  const { ids, seen, last } = rows[0]!
  return { ids: ids ?? [], end: seen < most ? undefined : (last ?? undefined) }
}
