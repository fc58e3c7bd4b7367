import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { quoteForeign } from "../../postgres/sql.ts"
import { bodyOf, transitionTables, type TriggerEvent, type TriggerSpec } from "./source.ts"

/** The statements about triggers. */

export interface Relation {
  /** Quoted, with its schema. */
  readonly quoted: string
  /** The same, quoted only where it must be. */
  readonly plain: string
  readonly schema: string
  readonly name: string
  readonly kind: string
  readonly columns: readonly string[]
}

/** The table of this name, as the connection's search_path finds it; undefined: there is none. */
export async function relationOf(db: Connection, table: string): Promise<Relation | undefined> {
  const { rows } = await db.query<Omit<Relation, "quoted" | "columns"> & { columns: string[] | null }>(
    `select n.nspname as schema, c.relname as name, c.relkind as kind, format('%I.%I', n.nspname, c.relname) as plain,
       (select json_agg(a.attname order by a.attnum) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`,
    [table],
  )
  const found = rows[0]
  return (
    found && {
      ...found,
      columns: found.columns ?? [],
      quoted: `${quoteForeign(found.schema)}.${quoteForeign(found.name)}`,
    }
  )
}

/** What is wrong with a statement, as PostgreSQL says it. */
export async function problemOf(db: Connection, names: PluginNames, statement: string): Promise<string | undefined> {
  const { rows } = await db.query<{ problem: string | null }>(`select ${names.of("trigger_check_1")}($1) as problem`, [
    statement,
  ])
  return rows[0]?.problem ?? undefined
}

/** A row of our table with what the catalogue says of it. */
export interface TriggerRow {
  readonly name: string
  readonly relation: string
  readonly events: readonly TriggerEvent[]
  readonly job: string
  readonly queue: string
  readonly spec: TriggerSpec
  readonly source: string
  readonly wake: boolean
  readonly enabled: boolean
  readonly createdAt: Date
  readonly updatedAt: Date
  readonly installed: readonly {
    readonly table: string
    readonly trigger: string
    readonly sql: string
    readonly on: boolean
  }[]
}

/** All of them, or one, by name. Tables are named as they are called now. */
export async function readTriggers(db: Connection, names: PluginNames, name?: string): Promise<TriggerRow[]> {
  const { rows } = await db.query<TriggerRow>(
    `select t.name, t.relation, t.events, t.job, t.kind ->> 'queue' as queue, t.spec, t.source, t.wake, t.enabled,
       t.created_at as "createdAt", t.updated_at as "updatedAt", coalesce((
         select json_agg(json_build_object('table', format('%I.%I', n.nspname, c.relname), 'trigger', g.tgname,
           'sql', pg_get_triggerdef(g.oid), 'on', g.tgenabled <> 'D') order by g.tgname)
         from pg_proc p join pg_trigger g on g.tgfoid = p.oid join pg_class c on c.oid = g.tgrelid
           join pg_namespace n on n.oid = c.relnamespace
         where p.pronamespace = $2::regnamespace and p.proname = 'trigger_' || t.name and p.pronargs = 0
           and not g.tgisinternal), '[]') as installed
     from ${names.of("triggers")} t where $1::text is null or t.name = $1 order by t.name`,
    [name ?? null, names.schema],
  )
  return rows
}

export interface NewTrigger {
  readonly name: string
  readonly job: string
  /** JSON text, as push_1 takes it. */
  readonly kind: string
  readonly spec: TriggerSpec
  readonly wake: boolean
}

export const sourceOf = (names: PluginNames, relation: Relation, { name, spec }: NewTrigger): string =>
  bodyOf(name, relation.quoted, spec, names.of("triggers"), names.of("trigger_push_1"))

/** Writes the row and the function, and puts triggers on the table where they are not there already. */
export async function install(
  tx: Connection,
  names: PluginNames,
  relation: Relation,
  trigger: NewTrigger,
  before: TriggerRow | undefined,
): Promise<void> {
  const { name, job, kind, spec, wake } = trigger
  const source = sourceOf(names, relation, trigger)
  await tx.query(
    `insert into ${names.of("triggers")} as t (name, relation, events, job, kind, spec, source, wake)
     values ($1, $2, array(select json_array_elements_text($3::text::json)), $4, $5::text::jsonb, $6::text::jsonb, $7, $8)
     on conflict (name) do update set relation = excluded.relation, events = excluded.events, job = excluded.job, kind = excluded.kind,
       spec = excluded.spec, source = excluded.source, wake = excluded.wake, updated_at = now()`,
    [name, relation.quoted, JSON.stringify(spec.events), job, kind, JSON.stringify(spec), source, wake],
  )
  const called = names.of(`trigger_${name}`)
  // Runs with the rights of whoever installs it: those who write to the table need none on ours.
  await tx.query(
    `create or replace function ${called}() returns trigger language plpgsql security definer
     set search_path = pg_catalog, pg_temp as $millrace$\n${source}\n$millrace$`,
  )
  await tx.query(`revoke all on function ${called}() from public`)
  const there = before?.installed.filter(({ table }) => table === relation.plain) ?? []
  const wanted = spec.events.map((event) => [event, triggerName(names, name, event)] as const)
  for (const { table, trigger: old } of before?.installed ?? []) {
    if (table !== relation.plain || !wanted.some(([, own]) => own === old))
      await tx.query(`drop trigger if exists ${quoteForeign(old)} on ${table}`)
  }
  for (const [event, own] of wanted) {
    if (there.some((one) => one.trigger === own)) continue
    await tx.query(
      `create trigger ${quoteForeign(own)} after ${event} on ${relation.quoted} ${transitionTables[event]}
       for each statement execute function ${called}()`,
    )
  }
}

/** At most 63 characters; says whose it is when a table is looked at. */
const triggerName = (names: PluginNames, name: string, event: TriggerEvent): string =>
  `${names.plain.slice(0, 25)}_${name}_${event}`

/** Drops the function and, with it, the triggers on whatever table they are. False: there was none. */
export async function uninstall(tx: Connection, names: PluginNames, name: string): Promise<boolean> {
  const { count } = await tx.query(`delete from ${names.of("triggers")} where name = $1`, [name])
  if (count > 0) await tx.query(`drop function if exists ${names.of(`trigger_${name}`)}() cascade`)
  return count > 0
}

export async function setEnabled(db: Connection, names: PluginNames, name: string, enabled: boolean): Promise<boolean> {
  const { count } = await db.query(
    `update ${names.of("triggers")} set enabled = $2, updated_at = now() where name = $1`,
    [name, enabled],
  )
  return count > 0
}
