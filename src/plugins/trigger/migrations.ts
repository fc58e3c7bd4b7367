import type { PluginMigration, PluginNames } from "../../model/plugin.ts"

/** What triggers call. The trigger functions themselves are made one by one, by `on`. */
export const migrations: readonly PluginMigration[] = [
  {
    version: 1,
    up: (names) => [table(names), push(names), check(names), revoke(names)],
    down: ({ schema: s, plain: name }) => [
      `do $$
declare v_function regprocedure;
begin
  for v_function in select p.oid from pg_proc p join ${s}.triggers t on p.proname = 'trigger_' || t.name
    where p.pronamespace = '${name}'::regnamespace and p.pronargs = 0 loop
    execute format('drop function %s cascade', v_function);
  end loop;
end
$$`,
      `drop function ${s}.trigger_push_1, ${s}.trigger_check_1`,
      `drop table ${s}.triggers`,
    ],
  },
]

const table = ({ schema: s }: PluginNames): string => `create table ${s}.triggers (
  name       text primary key,
  relation   text not null,                            -- quoted, with its schema, as it was when it was installed
  events     text[] not null,
  job        text not null,
  kind       jsonb not null,                           -- as push_1 takes it
  spec       jsonb not null,                           -- what was asked for
  source     text not null,                            -- the function's body
  wake       boolean not null,
  enabled    boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
)`

const plain = "set search_path = pg_catalog, pg_temp"

/**
 * Pushes one job per payload, in one statement. Keys, where jobs have unique ones, are as many as the payloads. A job whose key is
 * taken is not pushed: the one that holds it will run.
 */
function push({ schema: s, channel }: PluginNames): string {
  return `create function ${s}.trigger_push_1(p_trigger ${s}.triggers, p_event text, p_payloads json, p_keys json, p_count integer)
returns void language plpgsql ${plain} as $$
declare
  v_kind jsonb := p_trigger.kind || jsonb_build_object('n', 0, 'meta', coalesce(p_trigger.kind -> 'meta', '{}')
    || jsonb_build_object('trigger', jsonb_build_object('name', p_trigger.name, 'event', p_event, 'table', p_trigger.relation)));
  v_ids uuid[] := ${s}.uuids_1(p_count);
  v_kinds json; v_missing integer; v_keyed uuid[];
begin
  if p_keys is null then
    perform ${s}.push_1(v_ids, array_fill(0, array[p_count]), p_payloads, json_build_array(v_kind), false);
  else
    select json_agg(v_kind || jsonb_build_object('n', k.i - 1, 'unique_key', 'g|' || k.key) order by k.i) into v_kinds
    from json_array_elements_text(p_keys) with ordinality as k(key, i);
    select array_agg(v_ids[k.i]) into v_keyed
    from json_array_elements_text(p_keys) with ordinality as k(key, i) where k.key is not null;
    -- A holder that finishes while it is looked up makes another round.
    for round in 1..20 loop
      select count(*) filter (where u.existing is null and u.id = any(v_keyed)) into v_missing
      from ${s}.push_unique_1(v_ids, array(select i - 1 from generate_series(1, p_count) i), p_payloads, v_kinds, round > 1) u;
      exit when v_missing = 0;
    end loop;
  end if;
  if p_trigger.wake then
    perform pg_notify('${channel}', case when v_kind ? 'delay_ms' or v_kind ? 'run_at' then 'l ' else 'r ' end || (v_kind ->> 'queue'));
  end if;
end
$$`
}

/** Tries a statement as a trigger would run it; returns what is wrong with it, and leaves the transaction usable. */
const check = ({ schema: s }: PluginNames): string =>
  `create function ${s}.trigger_check_1(p_statement text) returns text language plpgsql ${plain} as $$
begin
  execute p_statement;
  return null;
exception when others then
  return sqlerrm;
end
$$`

const revoke = ({ schema: s }: PluginNames): string => `revoke all on all routines in schema ${s} from public`
