import type { Migration } from "../migration.ts"
import type { Names } from "../sql.ts"

/**
 * Finding and acting on many jobs. What it costs the hot path is close to nothing, by choice: a tree index on the history
 * for each thing that people search by would cost a fifth of the server's CPU per job. See docs/design/find.md.
 */
export const find: Migration = {
  version: 2,
  up: (names) => [givenKey(names), ...indexes(names), retryMany(names), deleteMany(names)],
  down: (names) => [
    `drop function ${names.of("delete_many_1")}(uuid[])`,
    `drop function ${names.of("retry_many_1")}(uuid[])`,
    ...["jobs_tags", "jobs_given_key", "jobs_history_blocks", "jobs_history_unsuccessful", "jobs_history_tags"].map(
      (index) => `drop index ${names.of(index)}`,
    ),
    `drop index ${names.of("jobs_history_given_key")}`,
    `drop function ${names.of("given_key")}(text)`,
  ],
}

/** A stored unique key without its scope. One expression, so that PostgreSQL writes it into the statement. */
function givenKey({ schema: s }: Names): string {
  return `create function ${s}.given_key(stored text) returns text language sql immutable as $$
  select case when stored like 'g|%' then substr(stored, 3) else substr(stored, strpos(substr(stored, 3), '|') + 3) end
$$`
}

function indexes({ schema: s }: Names): string[] {
  return [
    // Only jobs that have tags or a key pay for these.
    `create index jobs_tags on ${s}.jobs using gin (tags) where tags is not null`,
    `create index jobs_given_key on ${s}.jobs (${s}.given_key(unique_key)) where unique_key is not null`,
    `create index jobs_history_tags on ${s}.jobs_history using gin (tags) where tags is not null`,
    `create index jobs_history_given_key on ${s}.jobs_history (${s}.given_key(unique_key)) where unique_key is not null`,
    `create index jobs_history_unsuccessful on ${s}.jobs_history (state, id) where state <> 'succeeded'`,
    // A few bytes per block of rows: which names, queues and workers may be in there, and from when to when. Rows are
    // added without a look at it; blocks are summed up afterwards, by vacuum.
    `create index jobs_history_blocks on ${s}.jobs_history using brin (
      name text_bloom_ops (n_distinct_per_range = 64), queue text_bloom_ops (n_distinct_per_range = 16),
      worker text_bloom_ops (n_distinct_per_range = 32), created_at timestamptz_minmax_ops,
      finished_at timestamptz_minmax_ops) with (pages_per_range = 8, autosummarize = on)`,
  ]
}

/**
 * Runs many jobs again, as \`retry_1\` does one. Rows are locked in id order. A job whose unique key is taken stays in the
 * history, and the holder is told.
 */
function retryMany({ schema: s }: Names): string {
  return `create function ${s}.retry_many_1(p_ids uuid[])
returns table (id uuid, queue text, outcome text, holder uuid) language plpgsql
set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_held uuid[];
begin
  select array_agg(l.id) into v_held from (
    select j.id from ${s}.jobs j where j.id = any(p_ids) order by j.id for update) l;
  return query
    select j.id, j.queue, 'running', null::uuid from ${s}.jobs j where j.id = any(v_held) and j.token is not null;
  return query
    update ${s}.jobs j set state = 'pending', ready_at = now(), run_at = now(), blocked_by = null
    where j.id = any(v_held) and j.token is null
    returning j.id, j.queue, 'ready', null::uuid;
  return query
    with old as materialized (
      select h.* from ${s}.jobs_history h where h.id = any(p_ids) order by h.id for update),
    again as (
      insert into ${s}.jobs (id, state, queue, name, rank, created_at, max_attempts, claims, timeout_ms, keep_s,
        keep_failed_s, payload, meta, errors, tags, unique_key, options)
      select o.id, 'pending', o.queue, o.name, o.rank, o.created_at, o.max_attempts, o.claims, o.timeout_ms, o.keep_s,
        o.keep_failed_s, o.payload, o.meta, o.errors, o.tags, o.unique_key, o.options
      from old o order by o.unique_key, o.id
      on conflict do nothing
      returning id, queue),
    gone as (
      delete from ${s}.jobs_history h using again a where h.id = a.id and h.id = any(p_ids) returning h.id)
    select o.id, o.queue, case when a.id is null then 'taken' else 'ready' end,
      case when a.id is null then (select j.id from ${s}.jobs j where j.unique_key = o.unique_key) end
    from old o left join again a on a.id = o.id;
end
$$`
}

/** Deletes jobs for good, finished or waiting; those that run stay. Rows are locked in id order. */
function deleteMany({ schema: s }: Names): string {
  return `create function ${s}.delete_many_1(p_ids uuid[])
returns table (id uuid, outcome text) language plpgsql
set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_held uuid[];
begin
  select array_agg(l.id) into v_held from (
    select j.id from ${s}.jobs j where j.id = any(p_ids) order by j.id for update) l;
  return query
    select j.id, 'running' from ${s}.jobs j where j.id = any(v_held) and j.token is not null;
  return query
    delete from ${s}.jobs j where j.id = any(v_held) and j.token is null returning j.id, 'deleted';
  return query
    delete from ${s}.jobs_history h where h.id = any(p_ids) returning h.id, 'deleted';
end
$$`
}
