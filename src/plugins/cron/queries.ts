import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import type { ScheduleRow, Tick } from "./schedule.ts"

/** The statements about schedules. Rows travel as JSON; the clock is the database's. */

/** What of a row is of use outside the database. */
const visible = "to_jsonb(s) - 'kind' - 'declared' - 'run_at'"

/** The database's time, ms. */
export async function readClock(db: Connection, names: PluginNames): Promise<number> {
  const { rows } = await db.query<{ now: string }>(
    `select extract(epoch from ${names.of("schedule_clock_1")}()) * 1000 as now`,
  )
  return Math.floor(Number(rows[0]!.now))
}

export interface Look {
  readonly now: number
  readonly due: readonly ScheduleRow[]
  /** Milliseconds until the next is due; undefined: none ever. */
  readonly wait: number | undefined
  /** By key. */
  readonly problems: Readonly<Record<string, string>>
}

/** What is due now, oldest first, and when the next one will be. */
export async function look(db: Connection, names: PluginNames, most: number): Promise<Look> {
  const s = names.of("schedules")
  const { rows } = await db.query<{
    now: string
    due: ScheduleRow[] | null
    wait: number | null
    problems: Record<string, string> | null
  }>(
    `with clock as materialized (select ${names.of("schedule_clock_1")}() as at)
     select extract(epoch from clock.at) * 1000 as now,
       (select json_agg(to_jsonb(d) - 'kind' - 'declared') from (
         select s.* from ${s} s where s.paused_at is null and s.run_at <= clock.at order by s.run_at, s.key limit $1) d) as due,
       (select ${names.of("schedule_wait_1")}(min(s.run_at)) from ${s} s
         where s.paused_at is null and s.run_at is not null) as wait,
       (select json_object_agg(p.key, p.problem) from (
         select s.key, s.problem from ${s} s where s.problem is not null order by s.key limit 100) p) as problems
     from clock`,
    [most],
  )
  const { now, due, wait, problems } = rows[0]!
  return { now: Math.floor(Number(now)), due: due ?? [], wait: wait ?? undefined, problems: problems ?? {} }
}

/** A plan as `schedule_fire_1` takes it. */
export interface SentPlan {
  readonly key: string
  readonly version: number
  readonly problem?: string
  readonly next?: string | undefined
  readonly run?: string | undefined
  readonly ticks?: readonly {
    readonly at: string
    readonly job: string
    readonly push: boolean
    readonly missed: number
    readonly meta: Readonly<Record<string, unknown>>
  }[]
}

/** What came of a tick, or of a schedule: `at` is null when it had none. */
export interface FiredRow {
  key: string
  at: Date | null
  outcome: Tick["outcome"] | null
  job: string | null
  problem: string | null
}

/** Acts on plans, each whole or not at all; those that somebody else has acted on give no row. */
export async function firePlans(
  db: Connection,
  names: PluginNames,
  plans: readonly SentPlan[],
  worker: string,
  notify: boolean,
): Promise<FiredRow[]> {
  const { rows } = await db.query<FiredRow>(`select * from ${names.of("schedule_fire_1")}($1::text::jsonb, $2, $3)`, [
    JSON.stringify(plans),
    worker,
    notify,
  ])
  return rows
}

/** A schedule about to be stored. */
export interface Stored {
  readonly key: string
  readonly job: string
  readonly queue: string
  readonly cron: string | undefined
  readonly every_ms: number | undefined
  readonly zone: string
  readonly starts_at: string | undefined
  readonly ends_at: string | undefined
  readonly jitter_ms: number
  readonly overlap: string
  readonly missed: string
  readonly missed_limit: number
  readonly grace_ms: number
  /** Undefined: as it is; a new one runs. */
  readonly enabled: boolean | undefined
  readonly next_at: string | undefined
  readonly run_at: string | undefined
}

const timing = "cron, every_ms, zone, starts_at, ends_at"
const details = `job, queue, jitter_ms, overlap, missed, missed_limit, grace_ms, ${timing}`

/**
 * Makes a schedule so. One that is due at the same times as before keeps its next tick: a tick that nobody has acted on yet is not
 * lost because an application starts. With an owner it is changed only when the code says something new, so that what was edited at
 * run time stays; returns undefined when nothing was to be done.
 *
 * @param kind JSON text, as push_1 takes it. @param payload JSON text.
 */
export async function store(
  db: Connection,
  names: PluginNames,
  schedule: Stored,
  kind: string,
  payload: string,
  owner?: string,
): Promise<ScheduleRow | undefined> {
  const { next_at: _next, run_at: _run, ...declared } = schedule
  const { rows } = await db.query<{ row: ScheduleRow }>(
    `insert into ${names.of("schedules")} as s (key, ${details}, next_at, run_at, paused_at, kind, payload, owner, declared)
     select r.key, ${details.replaceAll(/(\w+)/g, "r.$1")}, r.next_at, r.run_at,
       case when r.enabled is false then ${names.of("schedule_clock_1")}() end, $2::text::jsonb, $3::text::jsonb, $4,
       case when $4::text is not null then $5::text::jsonb || jsonb_build_object('kind', $2::text::jsonb, 'payload', $3::text::jsonb) end
     from jsonb_to_record($1::text::jsonb) as r(key text, job text, queue text, cron text, every_ms bigint, zone text,
       starts_at timestamptz, ends_at timestamptz, jitter_ms integer, overlap text, missed text, missed_limit integer,
       grace_ms bigint, enabled boolean, next_at timestamptz, run_at timestamptz)
     on conflict (key) do update set (${details}) = (${details.replaceAll(/(\w+)/g, "excluded.$1")}),
       next_at = case when ${sameTiming} then s.next_at else excluded.next_at end,
       run_at = case when ${sameTiming} and s.problem is not null then ${names.of("schedule_clock_1")}()
         when ${sameTiming} and s.jitter_ms = excluded.jitter_ms then s.run_at else excluded.run_at end,
       paused_at = case when $6::boolean is null then s.paused_at when $6 then null else coalesce(s.paused_at, excluded.paused_at) end,
       kind = excluded.kind, payload = excluded.payload, owner = coalesce(excluded.owner, s.owner),
       declared = coalesce(excluded.declared, s.declared), problem = null, version = s.version + 1, updated_at = now()
     where $4::text is null or (s.owner, s.declared) is distinct from (excluded.owner, excluded.declared)
     returning ${visible} as row`,
    [JSON.stringify(schedule), kind, payload, owner ?? null, JSON.stringify(declared), schedule.enabled ?? null],
  )
  return rows[0]?.row
}

const sameTiming = `s.paused_at is null
  and (${timing.replaceAll(/(\w+)/g, "s.$1")}) is not distinct from (${timing.replaceAll(/(\w+)/g, "excluded.$1")})`

/** All of them, or those of these keys, by key. */
export async function read(db: Connection, names: PluginNames, keys?: readonly string[]): Promise<ScheduleRow[]> {
  const { rows } = await db.query<{ row: ScheduleRow }>(
    `select ${visible} as row from ${names.of("schedules")} s
     where $1::text is null or s.key in (select jsonb_array_elements_text($1::text::jsonb)) order by s.key`,
    [keys === undefined ? null : JSON.stringify(keys)],
  )
  return rows.map(({ row }) => row)
}

/** Returns the keys of those that were there. */
export async function remove(db: Connection, names: PluginNames, keys: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ key: string }>(
    `delete from ${names.of("schedules")} where key in (select jsonb_array_elements_text($1::text::jsonb)) returning key`,
    [JSON.stringify(keys)],
  )
  return rows.map(({ key }) => key)
}

/** Removes an owner's schedules but for these. Returns the keys of those that went. */
export async function removeOthers(
  db: Connection,
  names: PluginNames,
  owner: string,
  keys: readonly string[],
): Promise<string[]> {
  const { rows } = await db.query<{ key: string }>(
    `delete from ${names.of("schedules")}
     where owner = $1 and key not in (select jsonb_array_elements_text($2::text::jsonb)) returning key`,
    [owner, JSON.stringify(keys)],
  )
  return rows.map(({ key }) => key)
}

export async function pause(db: Connection, names: PluginNames, key: string): Promise<ScheduleRow | undefined> {
  const { rows } = await db.query<{ row: ScheduleRow }>(
    `update ${names.of("schedules")} s set paused_at = coalesce(s.paused_at, ${names.of("schedule_clock_1")}()),
       version = s.version + 1, updated_at = now() where s.key = $1 returning ${visible} as row`,
    [key],
  )
  return rows[0]?.row
}

/** Runs again from this tick on; undefined: somebody has changed it meanwhile. */
export async function resume(
  db: Connection,
  names: PluginNames,
  { key, version }: ScheduleRow,
  next: string | undefined,
  run: string | undefined,
): Promise<ScheduleRow | undefined> {
  const { rows } = await db.query<{ row: ScheduleRow }>(
    `update ${names.of("schedules")} s set paused_at = null, problem = null, next_at = $3, run_at = $4,
       version = s.version + 1, updated_at = now() where s.key = $1 and s.version = $2 returning ${visible} as row`,
    [key, version, next ?? null, run ?? null],
  )
  return rows[0]?.row
}

/** The job of a run beside the ticks; undefined: there is no such schedule. */
export async function runNow(
  db: Connection,
  names: PluginNames,
  key: string,
  job: string,
  notify: boolean,
): Promise<string | undefined> {
  const { rows } = await db.query<{ job: string | null }>(`select ${names.of("schedule_run_1")}($1, $2, $3) as job`, [
    key,
    job,
    notify,
  ])
  return rows[0]?.job ?? undefined
}

interface TickRow extends Omit<Tick, "at" | "firedAt" | "job" | "reason" | "worker"> {
  readonly at: Date
  readonly fired_at: Date
  readonly job: string | null
  readonly reason: string | null
  readonly worker: string | null
}

/** The latest ticks before a time, newest first. */
export async function readTicks(
  db: Connection,
  names: PluginNames,
  key: string,
  limit: number,
  before: Date | undefined,
): Promise<Tick[]> {
  const { rows } = await db.query<TickRow>(
    `select at, fired_at, outcome, job, missed, manual, reason, worker from ${names.of("schedule_ticks")}
     where key = $1 and at < coalesce($2::timestamptz, 'infinity') order by at desc limit $3`,
    [key, before ?? null, limit],
  )
  return rows.map(({ at, fired_at: firedAt, outcome, job, missed, manual, reason, worker }) => ({
    at,
    firedAt,
    outcome,
    job: job ?? undefined,
    missed,
    manual,
    reason: reason ?? undefined,
    worker: worker ?? undefined,
  }))
}

export async function removeTicks(db: Connection, names: PluginNames, keepMs: number, most: number): Promise<number> {
  const ticks = names.of("schedule_ticks")
  const { count } = await db.query(
    `delete from ${ticks} where (key, at) in (select key, at from ${ticks}
       where fired_at < now() - $1::float8 * interval '1 millisecond' order by fired_at limit $2)`,
    [keepMs, most],
  )
  return count
}

/** Schedules whose next run is late by more than so many ms, the latest first; at most 100. */
export async function lateSchedules(db: Connection, names: PluginNames, lateMs: number) {
  const { rows } = await db.query<{ key: string; lateMs: number }>(
    `select l.key, l.late as "lateMs" from (
       select s.key, s.run_at, -${names.of("schedule_wait_1")}(s.run_at) as late from ${names.of("schedules")} s
       where s.paused_at is null and s.run_at is not null order by s.run_at, s.key limit 100) l
     where l.late > $1::float8 order by l.run_at, l.key`,
    [lateMs],
  )
  return rows
}

/** What the definition that workers announced of this name makes of a push, as JSON text. */
export async function announcedKind(
  db: Connection,
  names: PluginNames,
  job: string,
  options: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { rows } = await db.query<{ kind: string }>(
    `select ${names.of("kind_1")}('schedule', $1, $2::text::jsonb)::text as kind`,
    [job, JSON.stringify(options)],
  )
  return rows[0]!.kind
}
