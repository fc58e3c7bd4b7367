import type { PluginMigration, PluginNames } from "../../model/plugin.ts"

/*
 * Three tables: runs, what is stored of each (steps), and what arrived for them (inbox). The functions below hold
 * everything that must be decided under a lock. The order of locks is always the same: rows of `jobs` in id order, then
 * anything of ours. See docs/design/flows.md.
 */

export const flowTables = ["flow_runs", "flow_steps", "flow_inbox"] as const

export const flowMigrations: readonly PluginMigration[] = [
  {
    version: 1,
    up: (names) => [...tables(names), ...functions(names), ...privileges(names)],
    down: ({ schema: s }) => [
      ...signatures.map((signature) => `drop function ${s}.${signature}`),
      ...flowTables.map((table) => `drop table ${s}."${table}"`),
    ],
  },
]

function tables({ schema: s }: PluginNames): string[] {
  return [
    `create table ${s}.flow_runs (
  id          uuid primary key,                      -- that of the job: ids grow, so they are the order of lists, too
  name        text not null,
  queue       text not null,
  state       text not null,                         -- running, sleeping, waiting, succeeded, failed, cancelled
  executions  integer not null default 1,            -- times that its function was started
  wake_at     timestamptz,                           -- when it goes on by itself
  started_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  finished_at timestamptz,
  result      json,
  error       jsonb
)`,
    `create index flow_runs_name on ${s}.flow_runs (name, id)`,
    `create index flow_runs_state on ${s}.flow_runs (state, id)`,
    `create index flow_runs_finished on ${s}.flow_runs (finished_at) where finished_at is not null`,
    `create index flow_runs_open on ${s}.flow_runs (id) where finished_at is null`,

    `create table ${s}.flow_steps (
  run         uuid not null,
  key         text not null,                         -- as the code calls it; "#2" and so on for the same one again
  seq         integer not null,                      -- order in which the code asked for it
  kind        text not null,
  name        text,                                  -- of the signal, or of the pushed job
  status      text not null,                         -- waiting, retrying, done, failed
  ord         integer,                               -- order in which it ended: a replay hands out results in this order
  value       json,                                  -- json and not jsonb: a replay gets the keys in the order it first had
  error       json,
  attempts    integer not null default 0,
  until       timestamptz,
  child       uuid,                                  -- the pushed job
  started_at  timestamptz not null default now(),
  finished_at timestamptz,
  primary key (run, key)
)`,
    `create index flow_steps_waiting on ${s}.flow_steps (run) where status in ('waiting', 'retrying')`,
    `create index flow_steps_child on ${s}.flow_steps (child) where kind = 'push'`,
    `create index flow_steps_awaited on ${s}.flow_steps (child) where kind = 'result' and status = 'waiting'`,

    `create table ${s}.flow_inbox (
  id         bigint generated always as identity primary key,
  run        uuid not null,
  kind       text not null,                          -- signal, child
  name       text not null,                          -- of the signal; the child's id
  once       text,                                   -- two with the same one are one
  payload    json,
  created_at timestamptz not null default now(),
  taken_by   text                                    -- key of the step that has it
)`,
    `create index flow_inbox_run on ${s}.flow_inbox (run, id) where taken_by is null`,
    `create index flow_inbox_created on ${s}.flow_inbox (created_at)`,
    `create unique index flow_inbox_once on ${s}.flow_inbox (run, kind, name, once) where once is not null`,
  ]
}

const pinned = `set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
  set plan_cache_mode = force_generic_plan`

const signatures = [
  "flow_begin_1(uuid, bigint, uuid, text)",
  "flow_store_1(uuid, uuid, json, bigint[], text[], boolean)",
  "flow_news_1(uuid)",
  "flow_settled_1(uuid[], text[])",
  "flow_wake_1(uuid[])",
  "flow_signal_1(uuid, text, json, text, text)",
  "flow_child_ended_1(uuid[])",
  "flow_matches_1(uuid)",
] as const

const privileges = ({ schema: s }: PluginNames): string[] =>
  signatures.map((signature) => `revoke all on function ${s}.${signature} from public`)

const functions = (names: PluginNames): string[] =>
  [matches, news, begin, store, wake, settled, signal, childEnded].map((make) => make(names))

/** Whether something has come that the run waits for. */
const matches = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_matches_1(p_id uuid) returns boolean language sql stable ${pinned} as $$
  select exists (
    select 1 from ${s}.flow_steps w join ${s}.flow_inbox i on i.run = w.run and i.taken_by is null
      and i.kind = case w.kind when 'signal' then 'signal' else 'child' end
      and i.name = case w.kind when 'signal' then w.name else w.child::text end
    where w.run = p_id and w.status = 'waiting' and w.kind in ('signal', 'result'))
$$`

const milliseconds = (expression: string): string => `(extract(epoch from ${expression}) * 1000)::float8`

/** What a run has not taken yet, and the time. Text, since drivers disagree about json. */
const news = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_news_1(p_id uuid) returns text language sql stable ${pinned} as $$
  select json_build_object('now', ${milliseconds("clock_timestamp()")}, 'inbox', (
    select coalesce(json_agg(json_build_object('id', i.id, 'kind', i.kind, 'name', i.name, 'payload', i.payload,
      'nothing', i.payload is null) order by i.id), '[]')
    from ${s}.flow_inbox i where i.run = p_id and i.taken_by is null))::text
$$`

/** The start of an execution: null unless the claim is valid, else everything that is stored. */
const begin = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_begin_1(p_id uuid, p_claims bigint, p_token uuid, p_name text)
returns text language plpgsql ${pinned} as $$
declare
  v_token uuid; v_queue text; v_expires timestamptz;
begin
  select j.token, j.queue, j.expires_at into v_token, v_queue, v_expires from ${s}.jobs j
  where j.id = p_id and j.token is not null and j.claims = p_claims and (p_token is null or j.token = p_token) for update;
  if not found then return null; end if;
  -- It has started in time; that it sleeps past its expiry does not matter.
  if v_expires is not null then update ${s}.jobs j set expires_at = null where j.id = p_id; end if;
  insert into ${s}.flow_runs as r (id, name, queue, state) values (p_id, p_name, v_queue, 'running')
  on conflict (id) do update set state = 'running', executions = r.executions + 1, wake_at = null, updated_at = now(),
    finished_at = null, result = null, error = null;
  return json_build_object('token', v_token, 'news', ${s}.flow_news_1(p_id)::json, 'steps', (
    select coalesce(json_agg(json_build_object('key', f.key, 'seq', f.seq, 'kind', f.kind, 'name', f.name,
      'status', f.status, 'ord', f.ord, 'value', f.value, 'nothing', f.value is null, 'error', f.error,
      'attempts', f.attempts, 'until', ${milliseconds("f.until")}, 'child', f.child) order by f.seq), '[]')
    from ${s}.flow_steps f where f.run = p_id))::text;
end
$$`

/**
 * Stores steps for the holder of a valid claim; null for anybody else. The lock keeps recovery and settlement away until
 * the commit, so a worker that was given up cannot store a thing. What has ended never changes again, so the same call
 * may be sent twice.
 */
const store = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_store_1(p_id uuid, p_token uuid, p_steps json, p_taken bigint[], p_takers text[],
  p_progress boolean)
returns text language plpgsql ${pinned} as $$
declare
  v_times json;
begin
  -- Whoever will update the row below takes it whole at once: two that shared it first would wait for each other.
  if p_progress then perform 1 from ${s}.jobs j where j.id = p_id and j.token = p_token for update;
  else perform 1 from ${s}.jobs j where j.id = p_id and j.token = p_token for share;
  end if;
  if not found then return null; end if;
  with stored as (
    insert into ${s}.flow_steps as f (run, key, seq, kind, name, status, ord, value, error, attempts, until, child, started_at,
      finished_at)
    select p_id, n.key, n.seq, n.kind, n.name, n.status, n.ord, n.value::json, n.error, coalesce(n.attempts, 0),
      coalesce(to_timestamp(n.until / 1000), now() + n.delay_ms * interval '1 millisecond'), n.child,
      now() - coalesce(n.took_ms, 0) * interval '1 millisecond',
      case when n.ord is not null then now() end
    from json_to_recordset(p_steps) as n(key text, seq integer, kind text, name text, status text, ord integer, value text,
      error json, attempts integer, until float8, delay_ms float8, took_ms float8, child uuid)
    on conflict (run, key) do update set status = excluded.status, ord = excluded.ord, value = excluded.value,
      error = excluded.error, attempts = excluded.attempts, until = coalesce(excluded.until, f.until),
      child = coalesce(excluded.child, f.child), finished_at = excluded.finished_at
    where f.ord is null
    returning f.key, f.until)
  select json_object_agg(key, ${milliseconds("until")}) into v_times from stored where until is not null;
  if cardinality(p_taken) > 0 then
    update ${s}.flow_inbox i set taken_by = t.taker
    from unnest(p_taken, p_takers) as t(id, taker) where i.id = t.id and i.run = p_id;
  end if;
  -- A crash counts against the step that it happened in, not against all of a flow that runs for months.
  if p_progress then update ${s}.jobs j set crashes = 0 where j.id = p_id and j.token = p_token; end if;
  return json_build_object('now', ${milliseconds("clock_timestamp()")}, 'times', v_times)::text;
end
$$`

/** A parked run for which something has come becomes ready. The lock comes first, so it is parked by now, or will look itself. */
const wake = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_wake_1(p_ids uuid[]) returns table (id uuid, queue text, state text) language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_id uuid; v_state ${s}.job_state; v_queue text;
begin
  for v_id in select u.id from unnest(p_ids) as u(id) order by u.id loop
    select j.state, j.queue into v_state, v_queue from ${s}.jobs j where j.id = v_id for update;
    continue when not found;
    if v_state = 'scheduled' and ${s}.flow_matches_1(v_id) then
      update ${s}.jobs j set state = 'pending', ready_at = now(), run_at = now() where j.id = v_id;
      update ${s}.flow_runs r set state = 'running', wake_at = null, updated_at = now() where r.id = v_id;
      return query select v_id, v_queue, 'woken';
    else
      return query select v_id, v_queue, v_state::text;
    end if;
  end loop;
end
$$`

/**
 * Runs in the transaction that settles runs, which holds their rows of \`jobs\`. A run that is to be parked is looked at once
 * more: what came before this moment is seen here, what comes later waits for the lock and finds it parked. Returns those
 * that are ready at once.
 */
const settled = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_settled_1(p_ids uuid[], p_states text[]) returns setof uuid language plpgsql ${pinned} as $$
declare
  v_run record; v_until timestamptz; v_waits boolean; v_signals boolean;
begin
  for v_run in select u.id, u.state from unnest(p_ids, p_states) as u(id, state) order by u.id loop
    if v_run.state in ('succeeded', 'failed', 'cancelled') then
      update ${s}.flow_runs r set state = v_run.state, wake_at = null, updated_at = now(), finished_at = now(),
        result = h.result::json, error = case when v_run.state = 'succeeded' then null else h.errors -> -1 end
      from (select 1) as one left join ${s}.jobs_history h on h.id = v_run.id
      where r.id = v_run.id;
      continue;
    end if;
    select min(f.until), count(*) > 0, coalesce(bool_or(f.kind in ('signal', 'result')), false)
    into v_until, v_waits, v_signals
    from ${s}.flow_steps f where f.run = v_run.id and f.status in ('waiting', 'retrying');
    continue when not v_waits;
    if v_until <= clock_timestamp() or ${s}.flow_matches_1(v_run.id) then
      update ${s}.jobs j set state = 'pending', ready_at = now(), run_at = now() where j.id = v_run.id;
      return next v_run.id;
    else
      update ${s}.jobs j set run_at = coalesce(v_until, now() + interval '3650 days') where j.id = v_run.id;
      update ${s}.flow_runs r set state = case when v_signals then 'waiting' else 'sleeping' end, wake_at = v_until,
        updated_at = now() where r.id = v_run.id;
    end if;
  end loop;
end
$$`

/** Puts a signal into a run's inbox and wakes the run, in one transaction: the caller's. */
const signal = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_signal_1(p_id uuid, p_name text, p_payload json, p_once text, p_channel text)
returns text language plpgsql ${pinned} as $$
declare
  v_row bigint; v_run record;
begin
  insert into ${s}.flow_inbox (run, kind, name, once, payload) values (p_id, 'signal', p_name, p_once, p_payload)
  on conflict do nothing returning id into v_row;
  select * into v_run from ${s}.flow_wake_1(array[p_id]);
  if v_run.id is null then
    delete from ${s}.flow_inbox i where i.id = v_row;
    return case
      when exists (select 1 from ${s}.flow_runs r where r.id = p_id) then 'finished'
      when exists (select 1 from ${s}.jobs_history h where h.id = p_id) then 'finished'
      else 'unknown' end;
  end if;
  if p_channel is not null and v_run.state = 'woken' then
    perform pg_notify(p_channel, 'r ' || v_run.queue);
  elsif p_channel is not null and v_run.state = 'running' then
    perform pg_notify(p_channel, 'e ' || json_build_object('from', 'sql', 'n', 0, 'name', 'flow.news',
      'body', json_build_object('id', p_id))::text);
  end if;
  return case when v_row is null then 'known' else 'sent' end;
end
$$`

/**
 * Runs in the transaction that ends jobs, or later for those that nobody told of: what became of them goes into the inboxes
 * of the runs that pushed them. It locks no run, so it can wait for nobody; the caller wakes them after the commit.
 */
const childEnded = ({ schema: s }: PluginNames): string =>
  `create function ${s}.flow_child_ended_1(p_ids uuid[]) returns setof uuid language plpgsql ${pinned} as $$
begin
  return query
    with ended as (
      insert into ${s}.flow_inbox (run, kind, name, once, payload)
      select f.run, 'child', f.child::text, '', json_build_object('state', coalesce(h.state::text, 'unknown'), 'name', f.name,
        'result', h.result, 'nothing', h.result is null, 'error', h.errors -> -1, 'reason', h.cancel ->> 'reason')
      from ${s}.flow_steps f left join ${s}.jobs_history h on h.id = f.child and h.id = any(p_ids)
      where f.kind = 'push' and f.child = any(p_ids)
      on conflict do nothing
      returning run)
    select distinct run from ended;
end
$$`
