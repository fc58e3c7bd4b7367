import type { Connection, Transaction } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { Moment } from "../../model/job-options.ts"
import type { PluginNames } from "../../model/plugin.ts"
import type { Problem, Rule, Severity } from "./rules.ts"

/*
 * The life of a problem, in rows, so that a restart or another leader goes on where the last one stopped:
 *
 *   seen ──► pending ──(so for `for`)──► firing ──(not seen any more)──► resolved
 *               └─(not seen any more)─► gone
 *
 * `notified_at` is set in the transaction that pushes the notifications: told is who has a job.
 */

export const eventStates = ["pending", "firing", "resolved"] as const
export type AlertState = (typeof eventStates)[number]

/** Something that is, or was, wrong. Times are the database's. */
export interface AlertEvent {
  readonly id: string
  readonly rule: string
  readonly subject: string
  readonly severity: Severity
  readonly state: AlertState
  /** What was measured last. */
  readonly value: number | undefined
  readonly text: string
  readonly beganAt: Date
  readonly firedAt: Date | undefined
  readonly resolvedAt: Date | undefined
  readonly acknowledgedAt: Date | undefined
  readonly acknowledgedBy: string | undefined
  readonly note: string | undefined
}

interface Row {
  id: string
  rule: string
  subject: string
  severity: Severity
  state: AlertState
  value: number | null
  text: string
  began_at: Date
  fired_at: Date | null
  resolved_at: Date | null
  notified_at: Date | null
  acknowledged_at: Date | null
  acknowledged_by: string | null
  note: string | null
  at: string
}

const eventOf = (row: Row): AlertEvent => ({
  id: row.id,
  rule: row.rule,
  subject: row.subject,
  severity: row.severity,
  state: row.state,
  value: row.value ?? undefined,
  text: row.text,
  beganAt: row.began_at,
  firedAt: row.fired_at ?? undefined,
  resolvedAt: row.resolved_at ?? undefined,
  acknowledgedAt: row.acknowledged_at ?? undefined,
  acknowledgedBy: row.acknowledged_by ?? undefined,
  note: row.note ?? undefined,
})

const columns = `e.id, e.rule, e.subject, e.severity, e.state, e.value, e.text, e.began_at, e.fired_at, e.resolved_at, e.notified_at,
  e.acknowledged_at, e.acknowledged_by, e.note, extract(epoch from e.began_at)::text as at`

/** What one round has changed. */
export interface Changes {
  readonly fired: readonly AlertEvent[]
  readonly resolved: readonly AlertEvent[]
  /** What channels are to be told: it fires (anew, again), or it is over. */
  readonly told: readonly AlertEvent[]
}

/** Writes down what a rule has found. */
export async function apply(
  tx: Transaction,
  { of }: PluginNames,
  rule: Rule,
  problems: readonly Problem[],
): Promise<Changes> {
  const events = of("alert_events")
  const subjects = JSON.stringify(problems.map(({ subject }) => subject))
  const seen = "e.subject in (select jsonb_array_elements_text($2::text::jsonb))"
  const pending = `delete from ${events} e where e.rule = $1 and e.state = 'pending' and not ${seen}`
  await tx.query(pending, [rule.name, subjects])
  const over = await tx.query<Row>(
    `update ${events} e set state = 'resolved', resolved_at = now()
     where e.rule = $1 and e.state = 'firing' and not ${seen} returning ${columns}`,
    [rule.name, subjects],
  )
  await tx.query(
    `insert into ${events} as e (rule, subject, severity, value, text)
     select distinct on (p.subject) $1, p.subject, $2, p.value, p.text
     from jsonb_to_recordset($3::text::jsonb) as p(subject text, value float8, text text)
     on conflict (rule, subject) where state <> 'resolved'
     do update set severity = excluded.severity, value = excluded.value, text = excluded.text`,
    [rule.name, rule.severity, JSON.stringify(problems)],
  )
  const fired = await tx.query<Row>(
    `update ${events} e set state = 'firing', fired_at = now()
     where e.rule = $1 and e.state = 'pending' and e.began_at <= now() - $2::float8 * interval '1 millisecond' returning ${columns}`,
    [rule.name, rule.for],
  )
  const due = await dueNotifications(tx, of, rule)
  const resolved = over.rows.map(eventOf)
  const told = over.rows.filter((row) => row.notified_at !== null).map(eventOf)
  return { fired: fired.rows.map(eventOf), resolved, told: [...told, ...due] }
}

/** What fires and nobody was told of yet, or not for a while; not while the rule is silenced. */
async function dueNotifications(tx: Transaction, of: PluginNames["of"], rule: Rule): Promise<AlertEvent[]> {
  const { rows } = await tx.query<Row>(
    `update ${of("alert_events")} e set notified_at = now()
     where e.rule = $1 and e.state = 'firing' and e.acknowledged_at is null
       and (e.notified_at is null or e.notified_at <= now() - $2::float8 * interval '1 millisecond')
       and not exists (select 1 from ${of("alert_rules")} r where r.name = $1 and r.silenced_until > now())
     returning ${columns}`,
    [rule.name, rule.repeat ?? null],
  )
  return rows.map(eventOf)
}

/** Names of rules with something under way. */
export async function activeRules(db: Connection, { of }: PluginNames): Promise<Set<string>> {
  const { rows } = await db.query<{ rule: string }>(
    `select distinct e.rule from ${of("alert_events")} e where e.state <> 'resolved'`,
  )
  return new Set(rows.map(({ rule }) => rule))
}

/** Ends what belongs to a rule that is no more. */
export async function endRule(tx: Transaction, { of }: PluginNames, rule: string): Promise<void> {
  await tx.query(
    `update ${of("alert_events")} set state = 'resolved', resolved_at = now() where rule = $1 and state <> 'resolved'`,
    [rule],
  )
}

export interface EventFilter {
  readonly state?: AlertState | undefined
  readonly rule?: string | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface EventPage {
  readonly events: AlertEvent[]
  /** Of the next page; undefined: there is none. */
  readonly cursor: string | undefined
}

/** Events, the newest first. @throws MILLRACE_BAD_CURSOR. */
export async function listEvents(db: Connection, { of }: PluginNames, filter: EventFilter): Promise<EventPage> {
  const { state = null, rule = null, limit } = filter
  const [at, id] = filter.cursor === undefined ? [null, null] : readCursor(filter.cursor)
  const { rows } = await db.query<Row>(
    `select ${columns} from ${of("alert_events")} e
     where ($1::text is null or e.state = $1) and ($2::text is null or e.rule = $2)
       and ($3::text is null or (e.began_at, e.id) < (to_timestamp($3::numeric), $4::uuid))
     order by e.began_at desc, e.id desc limit $5::integer + 1`,
    [state, rule, at, id, limit],
  )
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  const cursor = rows.length > limit && last ? Buffer.from(`${last.at}|${last.id}`).toString("base64url") : undefined
  return { events: page.map(eventOf), cursor }
}

function readCursor(cursor: string): [string, string] {
  const [, at, id] = /^(\d{1,12}\.\d{1,6})\|([0-9a-f-]{36})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? []
  if (at !== undefined && id !== undefined) return [at, id]
  throw failure("MILLRACE_BAD_CURSOR", "This is not the cursor of a list of alerts; leave it out to begin anew.")
}

/** @throws MILLRACE_UNKNOWN_ALERT. */
export async function acknowledge(
  db: Connection,
  { of }: PluginNames,
  id: string,
  by: string | undefined,
  note: string | undefined,
): Promise<AlertEvent> {
  const { rows } = await db.query<Row>(
    `update ${of("alert_events")} e set acknowledged_at = coalesce(e.acknowledged_at, now()),
       acknowledged_by = coalesce(e.acknowledged_by, $2), note = coalesce($3, e.note)
     where e.id::text = lower($1) returning ${columns}`,
    [id, by ?? null, note ?? null],
  )
  if (rows[0]) return eventOf(rows[0])
  throw failure("MILLRACE_UNKNOWN_ALERT", `There is no alert ${JSON.stringify(id)} (any more).`)
}

/** What is stored of a rule. */
export interface StoredRule {
  readonly name: string
  readonly silencedUntil: Date | undefined
  readonly silencedBy: string | undefined
  readonly error: string | undefined
  readonly pending: number
  readonly firing: number
}

export async function storedRules(
  db: Connection,
  { of }: PluginNames,
  names: readonly string[],
): Promise<Map<string, StoredRule>> {
  type Stored = { name: string; until: Date | null; by: string | null; error: string | null; p: number; f: number }
  const { rows } = await db.query<Stored>(
    `select n.name, case when r.silenced_until > now() then r.silenced_until end as until,
       case when r.silenced_until > now() then r.silenced_by end as by, r.error,
       (select count(*) from ${of("alert_events")} e where e.rule = n.name and e.state = 'pending')::integer as p,
       (select count(*) from ${of("alert_events")} e where e.rule = n.name and e.state = 'firing')::integer as f
     from jsonb_array_elements_text($1::text::jsonb) as n(name) left join ${of("alert_rules")} r on r.name = n.name`,
    [JSON.stringify(names)],
  )
  return new Map(
    rows.map(({ name, until, by, error, p, f }) => [
      name,
      {
        name,
        silencedUntil: until ?? undefined,
        silencedBy: by ?? undefined,
        error: error ?? undefined,
        pending: p,
        firing: f,
      },
    ]),
  )
}

/** Until then nobody is told of what the rule finds; null: from now on again. */
export async function silence(
  db: Connection,
  { of }: PluginNames,
  name: string,
  until: Moment | null,
  by: string | undefined,
): Promise<void> {
  await db.query(
    `insert into ${of("alert_rules")} as r (name, silenced_until, silenced_by)
     values ($1, coalesce($2::timestamptz, now() + $3::float8 * interval '1 millisecond'), $4)
     on conflict (name) do update set silenced_until = excluded.silenced_until, silenced_by = excluded.silenced_by`,
    [name, until?.at ?? null, until?.inMs ?? null, by ?? null],
  )
}

/** Writes down why a rule could not be looked at; null: it could. */
export async function noteError(
  db: Connection,
  { of }: PluginNames,
  name: string,
  error: string | null,
): Promise<void> {
  await db.query(
    `insert into ${of("alert_rules")} as r (name, error) values ($1, $2) on conflict (name) do update set error = excluded.error`,
    [name, error],
  )
}

/** Forgets what is long over. Returns how many rows went. */
export async function forget(db: Connection, { of }: PluginNames, keepMs: number): Promise<number> {
  const past = "now() - $1::float8 * interval '1 millisecond'"
  const events = await db.query(`delete from ${of("alert_events")} where resolved_at < ${past}`, [keepMs])
  const counts = await db.query(`delete from ${of("alert_counts")} where minute < now() - interval '25 hours'`)
  const signals = await db.query(`delete from ${of("alert_signals")} where seen_at < now() - interval '1 day'`)
  return events.count + counts.count + signals.count
}
