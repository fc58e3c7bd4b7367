import type { JobState } from "../../model/state.ts"
import { compileRule } from "../../postgres/rule-sql.ts"
import { snapshot, sourcesOf } from "../../postgres/find.ts"
import { textParam } from "./params.ts"
import type { Call } from "./route.ts"
import { looks } from "./limits.ts"
import { readSearch, termsOf, type Search } from "./search.ts"
import type { Site } from "./site.ts"

/*
 * Numbers beside a list. They are counted as far as that takes a moment, and say so: `capped` means "at least". Of a search
 * that names nothing, the counters of the overview answer; else the newest jobs are counted, and what is rare is counted by
 * its index up to a limit.
 */

export interface Counted {
  readonly value: number
  /** True: there are more. */
  readonly capped: boolean
}

type Counts = Record<string, Counted>

export interface Facets {
  readonly total: Counted
  readonly state: Counts
  readonly queue: Counts
  readonly name: Counts
}

/** Matches are counted up to this. */
const most = 10_000

export async function facets(call: Call): Promise<Facets & { readonly terms: unknown }> {
  const search = await readSearch(call, textParam(call.query, "q") ?? "")
  const found = await counted(call.site, search)
  const whole = search.query.terms.length === 0 && !call.scope
  return { ...found, ...(whole ? await ofAll(call.site) : {}), terms: termsOf(search) }
}

/** Of all jobs the indexes tell more than the newest do. */
async function ofAll(site: Site): Promise<Omit<Facets, "name" | "queue">> {
  const { queues, finished } = await site.app.stats()
  const state: Counts = {}
  const all = [...Object.values(queues), finished].flatMap((counts) => Object.entries(counts))
  for (const [name, { count, exact }] of all) add(state, name, count, !exact)
  const parts = Object.values(state)
  const value = parts.reduce((sum, part) => sum + part.value, 0)
  return { total: { value, capped: parts.some((part) => part.capped) }, state }
}

/** How many match, as far as that takes a moment to count. */
export const countMatches = async (site: Site, search: Search): Promise<Counted> => (await counted(site, search)).total

interface GroupRow {
  state: JobState
  queue: string
  name: string
  count: number
}

async function counted({ context: { db, names }, options }: Site, { rule, scan }: Search): Promise<Facets> {
  const sources = sourcesOf(rule.data)
  const parts = await snapshot(
    db,
    async (tx) => {
      const found: { rows: GroupRow[]; capped: boolean }[] = []
      for (const source of ["jobs", "history"] as const) {
        if (!sources[source]) continue
        const compiled = compileRule(rule, source, names, 3)
        const table = names.of(source === "jobs" ? "jobs" : "jobs_history")
        if (source === "history") await tx.query("select set_config('enable_seqscan', 'off', true)")
        const newest = await tx.query<GroupRow & { seen: number }>(
          `with seen as materialized (
             select j.state, j.queue, j.name, (${compiled.sql}) is true as hit from ${table} j order by j.id desc limit $1)
           select g.*, s.seen from (select count(*)::integer as seen from seen) s left join (
             select state::text, queue, name, count(*)::integer as count from seen where hit and $2::integer > 0
             group by 1, 2, 3) g on true`,
          [looks, most, ...compiled.values],
        )
        // Where nothing matches, one row still says how many were looked at.
        const rows = newest.rows.filter((row) => row.state !== null)
        const hits = rows.reduce((sum, row) => sum + row.count, 0)
        const whole = newest.rows[0]!.seen < looks
        if (whole) found.push({ rows, capped: false })
        else if (scan || hits >= looks / 10) found.push({ rows, capped: true })
        else {
          const all = await tx.query<GroupRow>(
            `select state::text, queue, name, count(*)::integer as count from (
               select j.state, j.queue, j.name from ${table} j where (${compiled.sql}) and $1::integer > 0 limit $2 + 1) j
             group by 1, 2, 3`,
            [looks, most, ...compiled.values],
          )
          const sum = all.rows.reduce((total, row) => total + row.count, 0)
          found.push({ rows: all.rows, capped: sum > most })
        }
      }
      return found
    },
    options.statementTimeout,
  )
  return summed(parts)
}

function summed(parts: readonly { readonly rows: readonly GroupRow[]; readonly capped: boolean }[]): Facets {
  const facets = { state: {} as Counts, queue: {} as Counts, name: {} as Counts }
  let total = 0
  for (const { rows, capped } of parts) {
    for (const row of rows) {
      total += row.count
      for (const field of ["state", "queue", "name"] as const) add(facets[field], row[field], row.count, capped)
    }
  }
  return { total: { value: total, capped: parts.some((part) => part.capped) }, ...facets }
}

function add(counts: Counts, key: string, count: number, capped: boolean): void {
  const known = Object.hasOwn(counts, key) ? counts[key] : undefined
  counts[key] = { value: (known?.value ?? 0) + count, capped: capped || known?.capped === true }
}
