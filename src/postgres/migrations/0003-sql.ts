import type { Names } from "../sql.ts"
import { optionFunctions } from "./0003-sql-options.ts"

/*
 * Pushing and cancelling from SQL. Three functions are for producers: `push`, `push_many` and `cancel`. They run with the
 * rights of the schema's owner (security definer, with a search_path that holds nothing of the caller's) and are all that
 * a producer may call: it has no rights on any table, and nobody but the owner may execute anything unless granted.
 */

export const sqlTables = ({ schema: s }: Names): string[] => [
  `create table ${s}.definitions (
  name         text primary key,                     -- a job's name, or an alias of it
  kind         jsonb not null,                       -- what a push without options sends: queue, rank, max_attempts, …
  keyed        boolean not null default false,       -- its unique key is made by code
  worker       text not null,                        -- id of the worker that announced it last
  announced_at timestamptz not null default now()
)`,
]

export const sqlFunctions = (names: Names): string[] => [
  ...optionFunctions(names),
  ...[uuids, pushSql, push, pushMany, makePartition, cancel, grantProducer, revokeProducer].map((make) => make(names)),
  ...privileges(names),
]

const plain = "set search_path = pg_catalog, pg_temp"
const largestPayload = 262_144

/**
 * UUIDs of version 7, strictly ascending, counted on from the server's clock in steps of 1/4096 ms (RFC 9562, section 6.2,
 * method 3): jobs of one session are in order across statements, since inserting a job takes longer than a step.
 */
function uuids({ schema: s }: Names): string {
  return `create function ${s}.uuids_1(p_count integer) returns uuid[] language sql volatile ${plain} as $$
  select array_agg((substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(hex, 13, 3) || '-' ||
    substr(gen_random_uuid()::text, 20))::uuid order by i)
  from (
    select i, lpad(to_hex(start + i), 15, '0') as hex
    from (select floor(extract(epoch from clock_timestamp()) * 4096000)::bigint as start) c, generate_series(1, p_count) i) n
$$`
}

/** Pushes one job per payload, and returns for each its id, or that of the job that holds its unique key. */
function pushSql({ schema: s, channel }: Names): string {
  return `create function ${s}.push_sql_1(p_function text, p_name text, p_payloads jsonb[], p_options jsonb)
returns setof uuid language plpgsql ${plain} as $$
declare
  v_kind jsonb := ${s}.kind_1(p_function, p_name, coalesce(p_options, '{}'));
  v_count integer := cardinality(p_payloads);
  v_ids uuid[]; v_left uuid[]; v_held jsonb := '{}'; v_payloads json; v_bytes integer; v_new integer;
begin
  if coalesce(v_count, 0) = 0 then return; end if;
  select json_agg(p order by i), max(octet_length(p::text)) into v_payloads, v_bytes
  from unnest(p_payloads) with ordinality as u(p, i);
  if v_bytes > ${largestPayload} then
    raise exception using errcode = '54000',
      message = format('%s: a payload of "%s" is %s bytes of JSON, over the limit of ${largestPayload}', p_function, p_name, v_bytes),
      hint = 'Store the data elsewhere and push a reference to it.';
  end if;
  v_ids := ${s}.uuids_1(v_count);
  v_new := v_count;
  if v_kind ? 'unique_key' then
    -- One job holds the key for all; a holder that finishes while it is looked up makes another round.
    for i in 1..20 loop
      begin
        select jsonb_object_agg(u.id, u.existing) into v_held
        from ${s}.push_unique_1(v_ids, array_fill(0, array[v_count]), v_payloads, json_build_array(v_kind), i > 1) u;
      exception when lock_not_available then
        raise exception using errcode = '55P03',
          message = format('%s: another transaction has held the unique key of "%s" for too long', p_function, p_name),
          hint = 'Push it again later.';
      end;
      exit when not exists (select 1 from jsonb_each(v_held) where value = 'null');
    end loop;
    select count(*) filter (where v_held ->> id::text = id::text) into v_new from unnest(v_ids) id;
    if exists (select 1 from jsonb_each(v_held) where value = 'null') then
      raise exception using errcode = '55P03',
        message = format('%s: the unique key of "%s" is held by a job that this transaction cannot see', p_function, p_name),
        hint = 'Use isolation level read committed, or push after the commit.';
    end if;
    return query select (v_held ->> id::text)::uuid from unnest(v_ids) with ordinality as u(id, i) order by i;
  else
    perform ${s}.push_1(v_ids, array_fill(0, array[v_count]), v_payloads, json_build_array(v_kind), false);
    return query select unnest(v_ids);
  end if;
  if v_new > 0 and coalesce(p_options -> 'wake', 'true') <> 'false' then
    perform pg_notify('${channel}', case when coalesce((v_kind ->> 'delay_ms')::float8 > 0,
      (v_kind ->> 'run_at')::timestamptz > now(), false) then 'l ' else 'r ' end || (v_kind ->> 'queue'));
  end if;
end
$$`
}

function push({ schema: s, plain: name }: Names): string {
  return `create function ${s}.push(name text, payload jsonb default null, options jsonb default '{}')
returns uuid language sql volatile security definer ${plain} as $$
  select id from ${s}.push_sql_1('${name}.push', $1, array[$2], $3) as id
$$`
}

function pushMany({ schema: s, plain: name }: Names): string {
  return `create function ${s}.push_many(name text, payloads jsonb[], options jsonb default '{}')
returns setof uuid language sql volatile security definer ${plain} as $$
  select id from ${s}.push_sql_1('${name}.push_many', $1, $2, $3) as id
$$`
}

/** Makes room in the history for this day, as workers do ahead of time: for a retention that no worker has seen yet. */
function makePartition({ schema: s, plain: schema }: Names): string {
  return `create function ${s}.make_partition_1(p_day date) returns void language plpgsql ${plain} as $$
declare
  v_name text := 'jobs_history_p' || to_char(p_day, 'YYYYMMDD');
begin
  execute format('create table %I.%I (like ${s}.jobs_history including defaults including constraints)', '${schema}', v_name);
  execute format('create index on %I.%I (id)', '${schema}', v_name);
  execute format('alter table ${s}.jobs_history attach partition %I.%I for values from (%L) to (%L)', '${schema}', v_name,
    p_day || ' 00:00:00+00', (p_day + 1) || ' 00:00:00+00');
exception when duplicate_table then
  null; -- somebody else was faster
end
$$`
}

function cancel({ schema: s, channel }: Names): string {
  return `create function ${s}.cancel(id uuid, reason text default null)
returns text language plpgsql security definer ${plain} as $$
declare
  v_row record;
begin
  begin
    select * into v_row from ${s}.cancel_1(null, array[$1], left($2, 2000));
  exception when check_violation then
    perform ${s}.make_partition_1((${s}.keep_until(now(), j.keep_s) at time zone 'UTC')::date)
    from ${s}.jobs j where j.id = $1;
    select * into v_row from ${s}.cancel_1(null, array[$1], left($2, 2000));
  end;
  if v_row.id is null then return 'unknown'; end if;
  if v_row.outcome = 'requested' then perform pg_notify('${channel}', 'c ' || $1); end if;
  if v_row.awaited then perform pg_notify('${channel}', 'd ' || $1); end if;
  return v_row.outcome;
end
$$`
}

const producerFunctions = (s: string): string =>
  `${s}.push(text, jsonb, jsonb), ${s}.push_many(text, jsonb[], jsonb), ${s}.cancel(uuid, text)`

function grantProducer({ schema: s }: Names): string {
  return `create function ${s}.grant_producer(role text) returns void language plpgsql ${plain} as $$
begin
  execute format('grant usage on schema ${s} to %I', $1);
  execute format('grant execute on function ${producerFunctions(s)} to %I', $1);
end
$$`
}

function revokeProducer({ schema: s }: Names): string {
  return `create function ${s}.revoke_producer(role text) returns void language plpgsql ${plain} as $$
begin
  execute format('revoke execute on function ${producerFunctions(s)} from %I', $1);
  execute format('revoke usage on schema ${s} from %I', $1);
end
$$`
}

/** Functions may be executed by everybody unless somebody says otherwise. */
const privileges = ({ schema: s }: Names): string[] => [`revoke all on all routines in schema ${s} from public`]
