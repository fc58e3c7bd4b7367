import type { Connection } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { PluginNames } from "../../model/plugin.ts"

export const errorStates = ["open", "resolved", "ignored"] as const

/** `resolved` goes back to `open` by itself when the error occurs again; `ignored` does not. */
export type ErrorState = (typeof errorStates)[number]

/** Failures that are one and the same error. Times are the database's. */
export interface ErrorGroup {
  readonly fingerprint: string
  readonly state: ErrorState
  /** The error's class. */
  readonly name: string
  readonly code: string | undefined
  /** The message without what varies. */
  readonly pattern: string
  /** The newest message, as it was. */
  readonly message: string
  /** As `function (folder/file)`, at most three. */
  readonly frames: readonly string[]
  readonly count: number
  readonly firstSeen: Date
  readonly lastSeen: Date
  readonly resolvedAt: Date | undefined
  readonly reopenedAt: Date | undefined
}

export interface ErrorDetails extends ErrorGroup {
  /** The newest stack. */
  readonly stack: string | undefined
  /** The newest jobs that failed with it, newest first. */
  readonly samples: readonly { readonly id: string; readonly attempt: number; readonly at: string }[]
  /** Which jobs it affects, most first, at most 100. */
  readonly jobs: readonly {
    readonly name: string
    readonly queue: string
    readonly count: number
    readonly lastSeen: Date
  }[]
  /** Failures per hour, oldest first; hours without any are left out. */
  readonly hours: readonly { readonly hour: Date; readonly count: number }[]
}

export interface ErrorFilter {
  readonly state?: ErrorState | undefined
  /** Name of a job that it affects. */
  readonly name?: string | undefined
  readonly queue?: string | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface ErrorPage {
  readonly groups: ErrorGroup[]
  /** Of the next page; undefined: there is none. */
  readonly cursor: string | undefined
}

interface Row {
  fingerprint: string
  state: ErrorState
  name: string
  code: string | null
  pattern: string
  message: string
  frames: string[]
  count: string
  first_seen: Date
  last_seen: Date
  resolved_at: Date | null
  reopened_at: Date | null
  at: string
}

const columns = `g.fingerprint, g.state, g.name, g.code, g.pattern, g.message, g.frames, g.count::text as count, g.first_seen,
  g.last_seen, g.resolved_at, g.reopened_at, extract(epoch from g.last_seen)::text as at`

const groupOf = (row: Row): ErrorGroup => ({
  fingerprint: row.fingerprint,
  state: row.state,
  name: row.name,
  code: row.code ?? undefined,
  pattern: row.pattern,
  message: row.message,
  frames: row.frames,
  count: Number(row.count),
  firstSeen: row.first_seen,
  lastSeen: row.last_seen,
  resolvedAt: row.resolved_at ?? undefined,
  reopenedAt: row.reopened_at ?? undefined,
})

/** Groups, the one that occurred last first. @throws MILLRACE_BAD_CURSOR. */
export async function listGroups(db: Connection, { of }: PluginNames, filter: ErrorFilter): Promise<ErrorPage> {
  const { state = null, name = null, queue = null, limit } = filter
  const [at, after] = filter.cursor === undefined ? [null, null] : readCursor(filter.cursor)
  const { rows } = await db.query<Row>(
    `select ${columns} from ${of("error_groups")} g
     where ($1::text is null or g.state = $1)
       and ($2::text is null and $3::text is null or exists (
         select 1 from ${of("error_group_jobs")} j where j.fingerprint = g.fingerprint
           and ($2::text is null or j.name = $2) and ($3::text is null or j.queue = $3)))
       and ($4::text is null or (g.last_seen, g.fingerprint) < (to_timestamp($4::numeric), $5::text))
     order by g.last_seen desc, g.fingerprint desc limit $6::integer + 1`,
    [state, name, queue, at, after, limit],
  )
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { groups: page.map(groupOf), cursor: rows.length > limit && last ? writeCursor(last) : undefined }
}

const writeCursor = ({ at, fingerprint }: Row): string => Buffer.from(`${at}|${fingerprint}`).toString("base64url")

function readCursor(cursor: string): [string, string] {
  const [, at, after] = /^(\d{1,12}\.\d{1,6})\|([0-9a-f]{16})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? []
  if (at !== undefined && after !== undefined) return [at, after]
  throw failure("MILLRACE_BAD_CURSOR", "This is not the cursor of a list of errors; leave it out to begin anew.")
}

/** @throws MILLRACE_UNKNOWN_ERROR. */
export async function findGroup(db: Connection, { of }: PluginNames, fingerprint: string): Promise<ErrorDetails> {
  type Details = Row & { stack: string | null; samples: ErrorDetails["samples"]; jobs: Job[]; hours: Hour[] }
  const { rows } = await db.query<Details>(
    `select ${columns}, g.stack, g.samples,
       coalesce((select jsonb_agg(to_jsonb(j) - 'fingerprint' order by j.count desc, j.name) from (
         select * from ${of("error_group_jobs")} j where j.fingerprint = g.fingerprint order by j.count desc limit 100) j), '[]') as jobs,
       coalesce((select jsonb_agg(jsonb_build_object('hour', h.hour, 'count', h.count) order by h.hour)
         from ${of("error_group_hours")} h where h.fingerprint = g.fingerprint), '[]') as hours
     from ${of("error_groups")} g where g.fingerprint = $1`,
    [fingerprint],
  )
  const [row] = rows
  if (!row) throw unknown(fingerprint)
  const { stack, samples, jobs, hours } = row
  return {
    ...groupOf(row),
    stack: stack ?? undefined,
    samples,
    jobs: jobs.map(({ name, queue, count, last_seen }) => ({ name, queue, count, lastSeen: new Date(last_seen) })),
    hours: hours.map(({ hour, count }) => ({ hour: new Date(hour), count })),
  }
}

interface Job {
  name: string
  queue: string
  count: number
  last_seen: string
}

interface Hour {
  hour: string
  count: number
}

/** @throws MILLRACE_UNKNOWN_ERROR. */
export async function setState(
  db: Connection,
  { of }: PluginNames,
  fingerprint: string,
  state: ErrorState,
): Promise<ErrorGroup> {
  const { rows } = await db.query<Row>(
    `update ${of("error_groups")} g set state = $2, resolved_at = case when $2 = 'resolved' then now() else g.resolved_at end
     where g.fingerprint = $1 returning ${columns}`,
    [fingerprint, state],
  )
  if (!rows[0]) throw unknown(fingerprint)
  return groupOf(rows[0])
}

const unknown = (fingerprint: string) =>
  failure("MILLRACE_UNKNOWN_ERROR", `There is no error with the fingerprint ${JSON.stringify(fingerprint)} (any more).`)

/** Forgets hours and groups that nobody needs any more. Returns how many rows went. */
export async function forget(db: Connection, { of }: PluginNames, hoursMs: number, groupsMs: number): Promise<number> {
  const past = "now() - $1::float8 * interval '1 millisecond'"
  const hours = await db.query(`delete from ${of("error_group_hours")} where hour < ${past}`, [hoursMs])
  const groups = await db.query(`delete from ${of("error_groups")} where last_seen < ${past}`, [groupsMs])
  return hours.count + groups.count
}
