import type { Migration } from "../migration.ts"
import type { Names } from "../sql.ts"

/** The core: jobs, their history, queues, workers, and the functions that the hot path calls. */
export const core: Migration = {
  version: 1,
  up: (names) => [...tables(names), ...functions(names)],
  down: (names) => [`drop schema if exists ${names.schema} cascade`],
}

const historyColumns =
  "id, created_at, run_at, finished_at, keep_until, claims, state, rank, attempts, crashes, max_attempts, keep_s, " +
  "keep_failed_s, queue, name, payload, token, started_at, worker, result, timeout_ms, expires_at, unique_key, cancel, " +
  "meta, progress, errors, tags, options"

function tables({ schema: s }: Names): string[] {
  return [
    `create type ${s}.job_state as enum
  ('scheduled', 'pending', 'running', 'retrying', 'blocked', 'succeeded', 'failed', 'cancelled')`,

    `create table ${s}.jobs (
  -- What every job has comes first, what few have last: rows are taken apart and put together a lot, and nulls in
  -- between make that slow.
  id            uuid not null,                       -- UUIDv7, made by the client: a push sent twice is one push
  ready_at      timestamptz not null default now(),  -- place in the queue among jobs of one rank
  run_at        timestamptz not null default now(),
  created_at    timestamptz not null default now(),
  claims        bigint not null default 0,           -- only grows: the fencing number for the outside world
  state         ${s}.job_state not null,
  rank          integer not null default 0,          -- minus priority: the claim index is all ascending
  attempts      integer not null default 0,
  crashes       integer not null default 0,
  max_attempts  integer not null default 5,
  keep_s        integer not null default 86400,      -- seconds to keep after finishing; 0 none, -1 for ever
  keep_failed_s integer not null default 86400,
  awaited       boolean not null default false,      -- somebody waits for the result: notify by id
  queue         text not null,
  name          text not null,
  payload       jsonb,
  token         uuid,                                -- names the claim; null when nobody holds the job
  worker        uuid,                                -- incarnation of the worker that holds it
  started_at    timestamptz,
  timeout_ms    integer,
  expires_at    timestamptz,
  unique_key    text,
  blocked_by    text,
  cancel        jsonb,                               -- a request to cancel: { reason, at }
  meta          jsonb,
  progress      jsonb,
  errors        jsonb,
  tags          text[],
  options       jsonb,
  constraint jobs_pkey primary key (id),
  -- A token means a claim: statements that name the token need not name the state (which could lure the planner into the
  -- index of running jobs).
  constraint jobs_claimed check ((token is not null) = (state = 'running'))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)`,
    // Exactly the claim's order, all ascending, so that the scan floor is a start position; ends with id because the
    // rows of one insert share ready_at.
    `create index jobs_ready on ${s}.jobs (queue, rank, ready_at, id) where state = 'pending' and crashes < 2`,
    `create index jobs_suspect on ${s}.jobs (queue, rank, ready_at, id) where state = 'pending' and crashes >= 2`,
    `create index jobs_due on ${s}.jobs (queue, run_at, id) where state in ('scheduled', 'retrying')`,
    `create index jobs_running on ${s}.jobs (worker) where state = 'running'`,
    `create index jobs_blocked on ${s}.jobs (name) where state = 'blocked'`,
    // Only unfinished jobs live here, so one partial index says "one live job per key".
    `create unique index jobs_unique_key on ${s}.jobs (unique_key) where unique_key is not null`,

    `create table ${s}.jobs_history (
  id            uuid not null,
  created_at    timestamptz not null,
  run_at        timestamptz not null,
  finished_at   timestamptz not null,
  keep_until    timestamptz not null,
  claims        bigint not null,
  state         ${s}.job_state not null,
  rank          integer not null,
  attempts      integer not null,
  crashes       integer not null,
  max_attempts  integer not null,
  keep_s        integer not null,
  keep_failed_s integer not null,
  queue         text not null,
  name          text not null,
  payload       jsonb,
  token         uuid,
  started_at    timestamptz,
  worker        text,
  result        jsonb,
  timeout_ms    integer,
  expires_at    timestamptz,
  unique_key    text,
  cancel        jsonb,
  meta          jsonb,
  progress      jsonb,
  errors        jsonb,
  tags          text[],
  options       jsonb
) partition by range (keep_until)`,
    `create index jobs_history_id on ${s}.jobs_history (id)`,
    `create table ${s}.jobs_history_forever partition of ${s}.jobs_history for values from ('infinity') to (maxvalue)`,

    `create table ${s}.workers (
  incarnation uuid primary key,                      -- a new one at every start and after every lost lease
  id          text not null,
  hostname    text not null,
  pid         integer not null,
  tags        text[] not null,
  queues      text[] not null default '{}',
  handlers    text[] not null default '{}',
  started_at  timestamptz not null default now(),
  seen_at     timestamptz not null default now(),
  expires_at  timestamptz not null
)`,
    `create unique index workers_id on ${s}.workers (id)`,

    `create view ${s}.all_jobs as
  select id, queue, name, state, -rank as priority, attempts, crashes, max_attempts, claims, token,
    (select w.id from ${s}.workers w where w.incarnation = jobs.worker) as worker, created_at, run_at, started_at, null::timestamptz as finished_at, null::timestamptz as keep_until, expires_at,
    timeout_ms, keep_s, keep_failed_s, payload, null::jsonb as result, meta, progress, errors, tags, unique_key, blocked_by,
    options, cancel
  from ${s}.jobs
  union all
  select id, queue, name, state, -rank, attempts, crashes, max_attempts, claims, token, worker,
    created_at, run_at, started_at, finished_at, keep_until, expires_at,
    timeout_ms, keep_s, keep_failed_s, payload, result, meta, progress, errors, tags, unique_key, null,
    options, cancel
  from ${s}.jobs_history`,

    `create table ${s}.queues (
  name             text primary key,
  concurrency      integer check (concurrency > 0),  -- per worker; null: the executor's default
  executor         text not null default 'async',
  executor_options jsonb not null default '{}',
  timeout_ms       integer check (timeout_ms > 0),   -- longest time of one attempt
  memory_limit     bigint check (memory_limit > 0),  -- bytes, of one job
  tags             text[] not null default '{*}',
  claim_ahead      integer check (claim_ahead >= 0), -- null: adaptive
  poll_ms          integer not null default 1000 check (poll_ms > 0),
  paused_at        timestamptz,
  resume_at        timestamptz,
  revision         bigint not null default 1,        -- grows with every change; each claim reports it
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now()
)`,
  ]
}

/**
 * The hot path. Every function pins its plans: no sequential or bitmap scans (a session warmed on an empty table would
 * keep one for ever), no nested loops over parameter arrays, one generic plan. Index scans over \`id = any(…)\` lock rows
 * in id order, which is the order everywhere.
 */
export const pinned = `set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
  set enable_nestloop = off set plan_cache_mode = force_generic_plan`

function functions(names: Names): string[] {
  const made = [keepUntil, appendError, push, pushAndNotify, pushUnique, cycle, promote, find]
  return [...made, recover, recoverOrphans, cancel, retry].map((make) => make(names))
}

/**
 * When a finished job may go. Long retentions are rounded up (to a week above 14 days, to four weeks above 120), so that
 * a year of history is dozens of daily partitions and not hundreds.
 */
function keepUntil({ schema: s }: Names): string {
  return `create function ${s}.keep_until(at timestamptz, keep_s integer) returns timestamptz language sql stable as $$
  select case
    when keep_s < 0 then 'infinity'::timestamptz
    when keep_s <= 1209600 then at + keep_s * interval '1 second'
    when keep_s <= 10368000 then to_timestamp(ceil((extract(epoch from at) + keep_s) / 604800) * 604800)
    else to_timestamp(ceil((extract(epoch from at) + keep_s) / 2419200) * 2419200)
  end
$$`
}

/** At most 20 errors are kept per job: the first, and the latest ones. */
function appendError({ schema: s }: Names): string {
  return `create function ${s}.append_error(errors jsonb, error jsonb) returns jsonb language sql stable as $$
  select case
    when error is null then errors
    when errors is null then jsonb_build_array(jsonb_build_object('at', now()) || error)
    when jsonb_array_length(errors) >= 20 then (errors - 1) || jsonb_build_array(jsonb_build_object('at', now()) || error)
    else errors || jsonb_build_array(jsonb_build_object('at', now()) || error)
  end
$$`
}

export const kinds = `json_to_recordset(p_kinds) as k(n integer, queue text, name text, rank integer, max_attempts integer,
      timeout_ms integer, keep_s integer, keep_failed_s integer, delay_ms float8, run_at timestamptz,
      expires_ms float8, expires_at timestamptz, unique_key text, meta jsonb, tags text[], options jsonb)`

export const insertJobs = (
  s: string,
  tail: string,
): string => `insert into ${s}.jobs (id, state, queue, name, rank, run_at,
      max_attempts, timeout_ms, keep_s, keep_failed_s, expires_at, unique_key, meta, tags, options, payload)
    select r.id,
      (case when coalesce(k.run_at, now() + k.delay_ms * interval '1 millisecond') > now()
        then 'scheduled' else 'pending' end)::${s}.job_state,
      k.queue, k.name, coalesce(k.rank, 0),
      coalesce(k.run_at, now() + k.delay_ms * interval '1 millisecond', now()),
      coalesce(k.max_attempts, 5), k.timeout_ms, coalesce(k.keep_s, 86400), coalesce(k.keep_failed_s, k.keep_s, 86400),
      coalesce(k.expires_at, now() + k.expires_ms * interval '1 millisecond'),
      k.unique_key, k.meta, k.tags, k.options, r.payload::jsonb
    from rows from (unnest(p_ids), unnest(p_kind), json_array_elements(p_payloads)) as r(id, kind, payload)
      join ${kinds} on k.n = r.kind
    ${tail}`

/**
 * Many jobs in one statement. What rows have in common stands once, in p_kinds; a row is an id, the number of its kind
 * and a payload.
 *
 * A resend (the reply to an earlier call was lost) must not run a job again that has finished meanwhile: it inserts what
 * is missing, then takes back, before anyone can see it, what the history already holds.
 */
function push({ schema: s }: Names): string {
  return `create function ${s}.push_1(p_ids uuid[], p_kind integer[], p_payloads json, p_kinds json, p_resend boolean)
returns void language plpgsql ${pinned} as $$
begin
  if not p_resend then
    ${insertJobs(s, "")};
    return;
  end if;
  ${insertJobs(s, "on conflict do nothing")};
  delete from ${s}.jobs j where j.id = any(p_ids) and j.claims = 0
    and exists (select 1 from ${s}.jobs_history h where h.id = j.id and h.id = any(p_ids));
end
$$`
}

/**
 * Inserts, commits, and then wakes the workers, in one round trip: NOTIFY in the transaction of the insert would hold a
 * lock of the whole cluster until its commit. What goes wrong with the wake-up does not matter: the jobs are committed.
 */
function pushAndNotify({ schema: s }: Names): string {
  return `create procedure ${s}.push_and_notify_1(p_ids uuid[], p_kind integer[], p_payloads json, p_kinds json,
  p_resend boolean, p_channel text, p_notices text[]) language plpgsql as $$
begin
  perform ${s}.push_1(p_ids, p_kind, p_payloads, p_kinds, p_resend);
  commit;
  begin
    perform pg_catalog.pg_notify(p_channel, n) from pg_catalog.unnest(p_notices) as n;
  exception when others then
    null;
  end;
end
$$`
}

/**
 * Pushes with unique keys, sorted by key so that two batches never wait for each other crosswise. Returns for each row
 * the job that holds its key now: itself, an existing one, or nothing (it finished in between: the caller sends it again).
 */
function pushUnique({ schema: s }: Names): string {
  return `create function ${s}.push_unique_1(p_ids uuid[], p_kind integer[], p_payloads json, p_kinds json, p_resend boolean)
returns table (id uuid, existing uuid, queue text, name text) language plpgsql ${pinned} set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
  finished uuid[];
begin
  ${insertJobs(s, "order by k.unique_key, r.id on conflict do nothing")};
  if p_resend then
    select array_agg(h.id) into finished from ${s}.jobs_history h where h.id = any(p_ids);
    if finished is not null then
      delete from ${s}.jobs j where j.id = any(finished) and j.claims = 0;
    end if;
  end if;
  return query
    with pushed as materialized (
      select r.id, k.unique_key, k.queue, k.name
      from unnest(p_ids, p_kind) as r(id, kind) join ${kinds} on k.n = r.kind),
    holders as materialized (
      select j.id, j.queue, j.name, j.unique_key from ${s}.jobs j
      where j.unique_key = any(array(select p.unique_key from pushed p)))
    select p.id, case when p.id = any(finished) then p.id else h.id end,
      coalesce(h.queue, p.queue), coalesce(h.name, p.name)
    from pushed p left join holders h on h.unique_key = p.unique_key;
end
$$`
}

interface Finish {
  /** Expressions over the deleted row \`g\`. */
  state: string
  attempts: string
  crashes: string
  worker: string
  result: string
  meta: string
  error: string
  cancel: string
  progress?: string
  from: string
}

/**
 * Moves deleted rows to the history, unless their retention is "none". The single place that writes a final state. The
 * usual retentions are computed in line, so that the hot path calls no function per row.
 */
const moveToHistory = (s: string, f: Finish): string => {
  const keep = `case when ${f.state} = 'failed' then g.keep_failed_s else g.keep_s end`
  return `insert into ${s}.jobs_history (${historyColumns})
      select g.id, g.created_at, g.run_at, now(),
        case when ${keep} between 1 and 1209600 then now() + ${keep} * interval '1 second'
          else ${s}.keep_until(now(), ${keep}) end,
        g.claims, (${f.state})::${s}.job_state, g.rank, ${f.attempts}, ${f.crashes}, g.max_attempts, g.keep_s,
        g.keep_failed_s, g.queue, g.name, g.payload, g.token, g.started_at, ${f.worker}, ${f.result}, g.timeout_ms,
        g.expires_at, g.unique_key, ${f.cancel}, ${f.meta}, ${f.progress ?? "g.progress"}, ${s}.append_error(g.errors, ${f.error}), g.tags, g.options
      from ${f.from} where ${keep} <> 0`
}

/** Deletes what has finished by its (id, token) pairs, and moves it to the history; the details, if any, by id. */
const settle = (s: string, detailed: boolean): string => `with ${
  detailed
    ? `o as materialized (
      select * from json_to_recordset(p_details)
        as o(id uuid, token uuid, state text, charge integer, result jsonb, nothing boolean, error jsonb, meta jsonb, progress jsonb)),
    `
    : ""
}gone as (
      delete from ${s}.jobs j
      where j.queue = p_queue and j.id = any(p_ids)
        and ((j.id, j.token) in (select * from unnest(p_ids, p_tokens))) is true
      returning j.*),
    moved as (
      ${moveToHistory(s, {
        state: detailed
          ? "case when g.cancel is not null then 'cancelled' else coalesce(o.state, 'succeeded') end"
          : "case when g.cancel is not null then 'cancelled' else 'succeeded' end",
        attempts: detailed ? "g.attempts + coalesce(o.charge, 1)" : "g.attempts + 1",
        crashes: "g.crashes",
        worker: "p_worker_id",
        // JSON's null arrives as SQL's: a result of null says so.
        result: detailed
          ? "case when g.cancel is null then coalesce(o.result, case when o.nothing then 'null'::jsonb end) end"
          : "null::jsonb",
        progress: detailed ? "coalesce(o.progress, g.progress)" : "g.progress",
        meta: detailed ? "coalesce(o.meta, g.meta)" : "g.meta",
        error: detailed ? "o.error" : "null::jsonb",
        cancel: "g.cancel",
        from: detailed ? "gone g left join o on o.id = g.id and o.token = g.token" : "gone g",
      })})
    select array_agg(g.id), array_agg(g.token), array_agg(g.id) filter (where g.awaited),
      array_agg(g.id) filter (where g.cancel is not null)
    into v_settled, v_settled_tokens, v_awaited, v_cancelled from gone g;`

/** Claims the rows whose places (ctid) a query yields; it has locked them. */
export const claimPlaces = (
  s: string,
  places: string,
  at = "now()",
): string => `update ${s}.jobs j set state = 'running', token = p_token,
            worker = p_worker, started_at = greatest(${at}, j.ready_at), claims = j.claims + 1
          where j.queue = p_queue and j.ctid = any(array(
            ${places}))
          returning j.id, j.name, j.attempts, j.crashes, j.max_attempts, j.claims, j.timeout_ms, j.rank,
            date_part('epoch', j.ready_at), j.payload::text,
            case when num_nonnulls(j.meta, j.tags, j.options, j.cancel, j.expires_at) > 0 then -- as JSON, put together as text: a third of the cost
              case when j.cancel is not null or j.expires_at < now() then '!' else '' end
              || '{"options":' || coalesce(j.options::text, 'null') || coalesce(',"meta":' || j.meta::text, '')
              || coalesce(',"tags":' || to_json(j.tags)::text, '') || coalesce(',"cancel":' || j.cancel::text, '')
              || case when j.expires_at < now() then ',"expired":true}' else '}' end end`

/** Takes up to v_left ready rows that match. */
const claimRows = (s: string, which: string): string =>
  claimPlaces(
    s,
    `select r.ctid from ${s}.jobs r
            where ${which}
              and (p_except is null or r.name <> all(p_except))
            order by r.rank, r.ready_at, r.id
            limit v_left for update skip locked`,
  )

/** What commits within this time of its `ready_at`, ms, is never behind a floor. */
const floorLag = 100

/**
 * One round trip and one commit: settle what has finished, then claim what comes next.
 *
 * Settling names (id, token) pairs: a stale pair matches nothing, also when the same worker holds a newer claim of the
 * same job. Jobs of one call share their token, so tokens travel as runs: each once, with the number of its ids. p_details holds only what differs from "succeeded without a result", and is null when nothing does. A kept outcome (retry, snooze, release,
 * park) of a job that somebody asked to cancel becomes \`cancelled\`.
 *
 * The claim starts behind the floors: for each rank in p_floor_ranks, the last key that this worker claimed, or a moment
 * ago if that is before it, since transactions of the same moment may commit in any order. Ranks without a floor are
 * scanned whole, so a floor never hides a rank. Empty floors: a full scan.
 *
 * Jobs that were lost with their worker before (twice or more) stand in an index of their own and come one at a time: the
 * one that ends workers would else take the same neighbours with it again and again.
 *
 * Rows with an id are claims, in no order: sorting here would cost a sixth of the whole call, so the caller sorts by
 * (rank, ready, id). `ready` is ready_at in seconds, exact to the microsecond. The row without an id is the summary, as
 * JSON in `rest`.
 */
export function cycle({ schema: s }: Names, limits = false): string {
  const unkeyed = limits ? " and (r.options ->> 'key') is null" : ""
  return `create or replace function ${s}.cycle_1(p_worker uuid, p_worker_id text, p_queue text,
  p_ids uuid[], p_runs uuid[], p_counts integer[], p_kept_ids uuid[], p_kept_tokens uuid[], p_details json,
  p_token uuid, p_limit integer, p_suspect boolean, p_except text[],
  p_floor_ranks integer[], p_floor_ready float8[], p_floor_ids uuid[])
returns table (id uuid, name text, attempts integer, crashes integer, max_attempts integer, claims bigint,
  timeout_ms integer, rank integer, ready float8, payload text, rest text)
language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_settled uuid[]; v_settled_tokens uuid[]; v_kept uuid[]; v_kept_tokens uuid[];
  v_awaited uuid[]; v_cancelled uuid[]; v_stale json;
  p_tokens uuid[] := '{}'; v_ids uuid[]; v_tokens uuid[];
  v_paused boolean; v_revision bigint; v_alive boolean;
  v_left integer := p_limit; v_rows integer; v_segments integer := cardinality(p_floor_ranks);
  v_rank integer := -2147483648; v_ready timestamptz := '-infinity'; v_id uuid := '00000000-0000-0000-0000-000000000000';
  v_started timestamptz;
  v_scan_ms float8 := 0;${limits ? "\n  v_limits jsonb; v_failed bigint; v_total bigint; v_tripped boolean := false;" : ""}
begin
  for i in 1..cardinality(p_runs) loop
    p_tokens := p_tokens || array_fill(p_runs[i], array[p_counts[i]]);
  end loop;

  if cardinality(p_kept_ids) > 0 then
    -- All rows first, in id order, then a new snapshot: only so does a cancel that was being made count.
    perform 1 from ${s}.jobs j
    where j.queue = p_queue and j.id = any(p_ids || p_kept_ids)
      and ((j.id, j.token) in (select * from unnest(p_ids || p_kept_ids, p_tokens || p_kept_tokens))) is true
    order by j.id for update;
    select array_agg(j.id), array_agg(j.token) into v_ids, v_tokens from ${s}.jobs j
    where j.queue = p_queue and j.id = any(p_kept_ids) and j.cancel is not null
      and ((j.id, j.token) in (select * from unnest(p_kept_ids, p_kept_tokens))) is true;
    if v_ids is not null then
      p_ids := p_ids || v_ids; p_tokens := p_tokens || v_tokens;
    end if;
    with kept as (
      update ${s}.jobs j set state = o.state::${s}.job_state, token = null, worker = null, started_at = null,
        ready_at = now(), run_at = now() + coalesce(o.delay_ms, 0) * interval '1 millisecond',
        attempts = j.attempts + coalesce(o.charge, 0), errors = ${s}.append_error(j.errors, o.error),
        meta = coalesce(o.meta, j.meta), progress = coalesce(o.progress, j.progress), blocked_by = o.blocked_by
      from json_to_recordset(p_details) as o(id uuid, token uuid, state text, charge integer, error jsonb, meta jsonb,
        progress jsonb, delay_ms float8, blocked_by text)
      where o.id = j.id and o.token = j.token and j.queue = p_queue and j.id = any(p_kept_ids) and j.cancel is null
        and ((j.id, j.token) in (select * from unnest(p_kept_ids, p_kept_tokens))) is true
      returning j.id, o.token)
    select array_agg(k.id), array_agg(k.token) into v_kept, v_kept_tokens from kept k;
  end if;

  if cardinality(p_ids) > 0 and p_details is null then
    ${settle(s, false)}
  elsif cardinality(p_ids) > 0 then
    ${settle(s, true)}
  end if;

  v_settled := v_settled || v_kept; v_settled_tokens := v_settled_tokens || v_kept_tokens;
  if cardinality(p_ids || p_kept_ids) > coalesce(cardinality(v_settled), 0) then
    select json_agg(json_build_array(u.id, u.token)) into v_stale
    from (select * from unnest(p_ids || p_kept_ids, p_tokens || p_kept_tokens) as u(id, token)
      except select * from unnest(v_settled, v_settled_tokens)) u;
  end if;

  ${limits ? countOutcomes(s) : ""}if p_limit > 0 then
    select q.paused_at is not null and (q.resume_at is null or q.resume_at > now()), q.revision
    into v_paused, v_revision from ${s}.queues q where q.name = p_queue;
    select w.expires_at > now() into v_alive from ${s}.workers w where w.incarnation = p_worker;
    ${limits ? limitedClaim(s) : ""}if v_alive and not v_paused then
      v_started := clock_timestamp();
      if p_suspect then
        v_left := 1;
        return query ${claimRows(s, `r.queue = p_queue and r.state = 'pending' and r.crashes >= 2${unkeyed}`)};
        get diagnostics v_rows = row_count;
        v_left := p_limit - v_rows;
      end if;
      for i in 0..v_segments loop
        exit when v_left <= 0;
        if i > 0 then
          v_rank := p_floor_ranks[i]; v_ready := to_timestamp(p_floor_ready[i]); v_id := p_floor_ids[i];
          if v_ready > v_started - interval '${floorLag} milliseconds' then
            v_ready := v_started - interval '${floorLag} milliseconds'; v_id := '00000000-0000-0000-0000-000000000000';
          end if;
        end if;
        return query ${claimRows(
          s,
          `r.queue = p_queue and r.state = 'pending' and r.crashes < 2${unkeyed}
              and (r.rank, r.ready_at, r.id) > (v_rank, v_ready, v_id)
              and r.rank <= case when i < v_segments then p_floor_ranks[i + 1] - 1 else 2147483647 end`,
        )};
        get diagnostics v_rows = row_count;
        v_left := v_left - v_rows;
        exit when v_left <= 0;
      end loop;
      v_scan_ms := extract(epoch from clock_timestamp() - v_started) * 1000;
    end if;
  end if;

  return query select null::uuid, null::text, null::integer, null::integer, null::integer, null::bigint, null::integer,
    null::integer, null::float8, null::text,
    json_build_object('stale', v_stale, 'awaited', v_awaited, 'cancelled', v_cancelled, 'alive', v_alive,
      'paused', v_paused, 'revision', v_revision, 'scanMs', v_scan_ms${limits ? ", 'tripped', v_tripped" : ""})::text;
end
$$`
}

/** A queue with a circuit breaker counts how its attempts end. */
const countOutcomes = (s: string): string => `if cardinality(v_settled) > 0 then
    select q.limits into v_limits from ${s}.queues q where q.name = p_queue;
    if v_limits ? 'breaker' then
      select count(*) filter (where o.charge = 1 and o.error is not null),
        cardinality(v_settled) - count(*) filter (where o.charge = 0)
      into v_failed, v_total
      from json_to_recordset(coalesce(p_details, '[]')) as o(id uuid, charge integer, error jsonb)
      where o.id = any(v_settled);
      if v_total > 0 then
        v_tripped := ${s}.count_outcomes_1(p_queue, v_total::integer, v_failed::integer, v_limits -> 'breaker');
      end if;
    end if;
  end if;

  `

/** A queue with limits, or with keyed jobs, has a claim of its own; the last of its rows is what it has to say. */
const limitedClaim = (s: string): string => `select q.limits into v_limits from ${s}.queues q where q.name = p_queue;
    if v_alive and not v_paused and (v_limits is not null
        or exists (select 1 from ${s}.limit_arrivals a where a.queue = p_queue)
        or exists (select 1 from ${s}.limit_keys k where k.queue = p_queue)) then
      return query select * from ${s}.claim_limited_1(p_worker, p_queue, p_token, p_limit, p_suspect, p_except,
        coalesce(v_limits, '{}'));
    els`

/** Due jobs become ready, a batch at a time; safe on any number of workers at once. Tells when the next one is due. */
function promote({ schema: s }: Names): string {
  return `create function ${s}.promote_1(p_queue text, p_limit integer)
returns table (promoted integer, next_ms float8) language plpgsql ${pinned} as $$
#variable_conflict use_column
begin
  with due as (
    update ${s}.jobs j set state = 'pending', ready_at = now()
    where j.queue = p_queue and j.ctid = any(array(
      select d.ctid from ${s}.jobs d
      where d.queue = p_queue and d.state in ('scheduled', 'retrying') and d.run_at <= now()
      order by d.run_at, d.id limit p_limit for update skip locked))
    returning 1)
  select count(*) into promoted from due;
  select extract(epoch from d.run_at - clock_timestamp()) * 1000 into next_ms from ${s}.jobs d
  where d.queue = p_queue and d.state in ('scheduled', 'retrying') order by d.run_at, d.id limit 1;
  return next;
end
$$`
}

/** Jobs by id, finished or not, in one statement: a job on its way to the history is seen once, never not at all. */
function find({ schema: s }: Names): string {
  return `create function ${s}.find_1(p_ids uuid[]) returns setof ${s}.all_jobs language plpgsql stable ${pinned} as $$
begin
  return query select * from ${s}.all_jobs j where j.id = any(p_ids);
end
$$`
}

const takeBack = (s: string, charge: string, worker: string): string => `
  gone as (
    delete from ${s}.jobs j using dead d
    where d.final and j.id = d.id and j.queue = d.queue and j.token = d.token
      and j.id = any(array(select x.id from dead x))
    returning j.*),
  moved as (
    ${moveToHistory(s, {
      state: "case when g.cancel is not null then 'cancelled' else 'failed' end",
      attempts: "g.attempts",
      crashes: `g.crashes + ${charge}`,
      worker,
      result: "null::jsonb",
      meta: "g.meta",
      error: `jsonb_build_object('name', 'CrashError', 'code', 'MILLRACE_CRASHED', 'attempt', g.attempts + 1, 'message',
          format('the worker that ran this job was lost %s times', g.crashes + ${charge}))`,
      cancel: "g.cancel",
      from: "gone g",
    })}),
  back as (
    update ${s}.jobs j set state = 'pending', token = null, worker = null, started_at = null, ready_at = now(),
      crashes = j.crashes + ${charge}
    from dead d
    where not d.final and j.id = d.id and j.queue = d.queue and j.token = d.token
      and j.id = any(array(select x.id from dead x))
    returning j.id, j.queue, j.state::text as state)`

/**
 * Takes the claims of one dead worker back. The worker's row is locked first and marked dead for good (a renewal that
 * was under way finds it so), job rows that others hold locked are left for the next sweep (nothing is waited for, so the order does not
 * matter), and the token, which implies
 * the state, stands again in the update.
 */
function recover({ schema: s }: Names): string {
  return `create function ${s}.recover_1(p_limit integer, p_max_crashes integer, p_skip uuid[])
returns table (id uuid, queue text, state text, worker text, incarnation uuid) language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_dead uuid; v_name text;
begin
  select w.incarnation, w.id into v_dead, v_name from ${s}.workers w
  where w.expires_at < now() and w.incarnation <> all(p_skip) order by w.incarnation limit 1 for update skip locked;
  if not found then return; end if;
  update ${s}.workers w set expires_at = '-infinity' where w.incarnation = v_dead and w.expires_at > '-infinity';
  return query
    with dead as materialized (
      select j.id, j.queue, j.token, j.cancel is not null or j.crashes + 1 >= p_max_crashes as final from ${s}.jobs j
      where j.state = 'running' and j.worker = v_dead limit p_limit for update skip locked),
    ${takeBack(s, "1", "v_name")}
    select b.id, b.queue, b.state, v_name, v_dead from back b
    union all
    select g.id, g.queue, case when g.cancel is not null then 'cancelled' else 'failed' end, v_name, v_dead from gone g;
  if not exists (select 1 from ${s}.jobs j where j.state = 'running' and j.worker = v_dead) then
    delete from ${s}.workers w where w.incarnation = v_dead;
  end if;
  return query select null::uuid, null::text, null::text, v_name, v_dead; -- who was dead, with or without jobs
end
$$`
}

/**
 * Takes back claims whose worker has no row: a claim that committed while its worker was being declared dead. Its reply
 * went to nobody that could still start it, so no crash is charged.
 */
function recoverOrphans({ schema: s }: Names): string {
  return `create function ${s}.recover_orphans_1(p_limit integer)
returns table (id uuid, queue text, state text, worker text) language plpgsql ${pinned} as $$
#variable_conflict use_column
begin
  return query
    with dead as materialized (
      select j.id, j.queue, j.token, j.cancel is not null as final from ${s}.jobs j
      where j.state = 'running' and j.worker <> all(array(select w.incarnation from ${s}.workers w))
      limit p_limit for update skip locked),
    ${takeBack(s, "0", "null::text")}
    select b.id, b.queue, b.state, null::text from back b
    union all
    select g.id, g.queue, 'cancelled', null::text from gone g;
end
$$`
}

/** Cancels what has not started, asks for it where a worker holds the job, and says which of both, or neither, it was. */
function cancel({ schema: s }: Names): string {
  return `create function ${s}.cancel_1(p_queue text, p_ids uuid[], p_reason text)
returns table (id uuid, queue text, outcome text, awaited boolean) language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_cancel jsonb := jsonb_build_object('reason', p_reason, 'at', now());
  v_held uuid[];
begin
  select array_agg(l.id) into v_held from (
    select j.id from ${s}.jobs j
    where j.queue = coalesce(p_queue, j.queue) and j.id = any(p_ids) order by j.id for update) l;
  return query
    with gone as (
      delete from ${s}.jobs j where j.id = any(v_held) and j.token is null returning j.*),
    moved as (
      ${moveToHistory(s, {
        state: "'cancelled'",
        attempts: "g.attempts",
        crashes: "g.crashes",
        worker: "null::text",
        result: "null::jsonb",
        meta: "g.meta",
        error: "null::jsonb",
        cancel: "v_cancel",
        from: "gone g",
      })}),
    asked as (
      update ${s}.jobs j set cancel = coalesce(j.cancel, v_cancel) where j.id = any(v_held) and j.token is not null
      returning j.id, j.queue)
    select g.id, g.queue, 'cancelled', g.awaited from gone g
    union all
    select a.id, a.queue, 'requested', false from asked a;
  return query
    select h.id, h.queue, 'finished', false from ${s}.jobs_history h
    where h.id = any(p_ids) and h.id <> all(coalesce(v_held, '{}'));
end
$$`
}

/**
 * The same job again: from the history back to the queue in one statement, with its errors, its attempts counted anew and
 * its claim counter growing on. A waiting job is made ready. A unique key that is taken raises 23505.
 */
function retry({ schema: s }: Names): string {
  return `create function ${s}.retry_1(p_queue text, p_id uuid)
returns table (outcome text, queue text) language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_state ${s}.job_state; v_queue text;
begin
  -- Twice: somebody else may be bringing it back from the history at this moment.
  for i in 1..2 loop
    select j.state, j.queue into v_state, v_queue from ${s}.jobs j
    where j.id = p_id and j.queue = coalesce(p_queue, j.queue) for update;
    if v_state = 'running' then
      return query select 'running', v_queue;
      return;
    elsif found then
      update ${s}.jobs j set state = 'pending', ready_at = now(), run_at = now(), blocked_by = null
      where j.id = p_id and j.queue = v_queue;
      return query select 'ready', v_queue;
      return;
    end if;
    return query
      with back as (
        delete from ${s}.jobs_history h where h.id = p_id and h.queue = coalesce(p_queue, h.queue) returning h.*),
      again as (
        insert into ${s}.jobs (id, state, queue, name, rank, created_at, max_attempts, claims, timeout_ms, keep_s,
          keep_failed_s, payload, meta, errors, tags, unique_key, options)
        select b.id, 'pending', b.queue, b.name, b.rank, b.created_at, b.max_attempts, b.claims, b.timeout_ms, b.keep_s,
          b.keep_failed_s, b.payload, b.meta, b.errors, b.tags, b.unique_key, b.options
        from back b
        returning queue)
      select 'ready', a.queue from again a;
    if found then
      return;
    end if;
  end loop;
end
$$`
}
