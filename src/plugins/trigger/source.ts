import { quoteForeign, quoteLiteral } from "../../postgres/sql.ts"

/*
 * The SQL of a trigger. One trigger per event, once per statement: its rows are in transition tables, and become jobs in one
 * multi-row push, however many there are.
 *
 * An update has its rows in two such tables, before and after, without anything that says which belongs to which: a primary key
 * may be what was changed. PostgreSQL appends to both for each row in turn (also when a row moves to another partition), so
 * the nth of one is the nth of the other.
 */

export type TriggerEvent = "insert" | "update" | "delete"

/** Where a value of the payload comes from: a column, SQL over `new` and `old`, or a constant. */
export type MappedValue = string | { readonly sql: string } | { readonly value: unknown }

export type PayloadMapping = "row" | readonly string[] | Readonly<Record<string, MappedValue>>

export interface TriggerSpec {
  readonly events: readonly TriggerEvent[]
  /** SQL over `new` and `old`. */
  readonly when: string | undefined
  /** An update counts only if one of these changed. */
  readonly columns: readonly string[] | undefined
  /** Undefined: one job per statement. */
  readonly payload: PayloadMapping | undefined
  /** SQL over `new` and `old`. */
  readonly uniqueKey: string | undefined
}

const position = "millrace_n"

/** The rows of an event, as `new`, `old` or both. */
const rowsOf: Readonly<Record<TriggerEvent, string>> = {
  insert: "new_rows as new",
  delete: "old_rows as old",
  update: `(select row_number() over () as ${position}, t.* from new_rows t) as new
      join (select row_number() over () as ${position}, t.* from old_rows t) as old on old.${position} = new.${position}`,
}

export const transitionTables: Readonly<Record<TriggerEvent, string>> = {
  insert: "referencing new table as new_rows",
  update: "referencing old table as old_rows new table as new_rows",
  delete: "referencing old table as old_rows",
}

/** The body of the trigger function; `triggers` is the quoted table, `push` the quoted function. */
export function bodyOf(name: string, relation: string, spec: TriggerSpec, triggers: string, push: string): string {
  const branches = spec.events.map((event, index) => {
    const action = spec.payload === undefined ? perStatement(relation, spec, event, push) : perRow(spec, event, push)
    return `  ${index === 0 ? "if" : "elsif"} tg_op = '${event.toUpperCase()}' then\n${action}`
  })
  return `#variable_conflict use_column
declare
  v_trigger ${triggers};
  v_jobs record;
begin
  select * into v_trigger from ${triggers} t where t.name = ${quoteLiteral(name)} and t.enabled;
  if not found then return null; end if;
${branches.join("\n")}
  end if;
  return null;
end`
}

/** Jobs in one push. */
const chunk = 1_000

const perRow = (spec: TriggerSpec, event: TriggerEvent, push: string): string => `    for v_jobs in
      select json_agg(j.payload order by j.n) as payloads, ${spec.uniqueKey === undefined ? "null::json" : "json_agg(j.key order by j.n)"} as keys,
        count(*)::integer as count
      from (select row_number() over () as n, ${payloadSql(spec.payload!, event)} as payload, ${keySql(spec)} as key
        from ${rowsOf[event]} where ${conditionOf(spec, event)}) j
      group by (j.n - 1) / ${chunk} order by (j.n - 1) / ${chunk}
    loop
      perform ${push}(v_trigger, '${event}', v_jobs.payloads, v_jobs.keys, v_jobs.count);
    end loop;`

function perStatement(relation: string, spec: TriggerSpec, event: TriggerEvent, push: string): string {
  const payload = `jsonb_build_object('table', ${quoteLiteral(relation)}, 'event', '${event}', 'rows', v_jobs.count)`
  return `    select count(*)::integer as count into v_jobs from ${rowsOf[event]} where ${conditionOf(spec, event)};
    if v_jobs.count > 0 then
      perform ${push}(v_trigger, '${event}', json_build_array(${payload}), null, 1);
    end if;`
}

/** A statement that asks the same of the table itself, to find out what is wrong with it. */
export const trialOf = (relation: string, spec: TriggerSpec, event: TriggerEvent): string => {
  const rows =
    event === "update"
      ? `${relation} as new, ${relation} as old`
      : `${relation} as ${event === "insert" ? "new" : "old"}`
  const payload = spec.payload === undefined ? "null" : payloadSql(spec.payload, event)
  return `select ${payload}, (${keySql(spec)})::text from ${rows} where ${conditionOf(spec, event)} limit 0`
}

/** A statement whose one parameter is a row as JSON; gives its payload. */
export const sampleOf = (relation: string, payload: PayloadMapping, event: TriggerEvent): string =>
  `select ${payloadSql(payload, event)} as payload
   from jsonb_populate_record(null::${relation}, $1::text::jsonb) as new, jsonb_populate_record(null::${relation}, $1::text::jsonb) as old`

function conditionOf({ when, columns }: TriggerSpec, event: TriggerEvent): string {
  const parts = when === undefined ? [] : [`(${when}\n)`]
  if (columns && event === "update") {
    const changed = columns.map((name) => `old.${quoteForeign(name)} is distinct from new.${quoteForeign(name)}`)
    parts.push(`(${changed.join(" or ")})`)
  }
  return parts.length === 0 ? "true" : parts.join(" and ")
}

const keySql = ({ uniqueKey }: TriggerSpec): string => (uniqueKey === undefined ? "null" : `(${uniqueKey}\n)`)

/** PostgreSQL takes 100 arguments. */
const pairsAtOnce = 50

function payloadSql(payload: PayloadMapping, event: TriggerEvent): string {
  const row = event === "delete" ? "old" : "new"
  if (payload === "row") return `(to_jsonb(${row}) - '${position}')`
  const entries: [string, MappedValue][] = isColumns(payload)
    ? payload.map((name) => [name, name])
    : Object.entries(payload)
  const pairs = entries.map(([key, value]) => `${quoteLiteral(key)}, ${valueSql(value, row)}`)
  const objects: string[] = []
  for (let at = 0; at < pairs.length; at += pairsAtOnce)
    objects.push(`jsonb_build_object(${pairs.slice(at, at + pairsAtOnce).join(", ")})`)
  return objects.length === 0 ? "'{}'::jsonb" : `(${objects.join(" || ")})`
}

export const isColumns = (payload: PayloadMapping): payload is readonly string[] => Array.isArray(payload)

function valueSql(value: MappedValue, row: string): string {
  if (typeof value === "string") return `${row}.${quoteForeign(value)}`
  return "sql" in value ? `(${value.sql}\n)` : `${quoteLiteral(JSON.stringify(value.value ?? null))}::jsonb`
}
