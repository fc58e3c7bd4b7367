import type { Migration } from "../migration.ts"
import type { Names } from "../sql.ts"
import { cycle, pinned } from "./0001-core.ts"
import { claimLimited, takeArrivals } from "./0005-limits-claim.ts"
import { uniqueDown, uniqueUp } from "./0005-limits-unique.ts"

/**
 * Limits, fairness, order and uniqueness over the whole cluster. See docs/design/limits.md.
 *
 * Nothing here counts: how many jobs of a key run is read from the rows that run, under a lock that every claim of the key
 * takes. So a worker that dies, a lost reply or a rolled back transaction cannot leave a count behind.
 */
export const limits: Migration = {
  version: 5,
  up: (names) => [
    ...columns(names),
    ...tables(names),
    ...indexes(names),
    ...triggers(names),
    left(names),
    breaker(names),
    takeArrivals(names),
    claimLimited(names),
    cycle(names, true),
    ...uniqueUp(names),
    `revoke all on all routines in schema ${names.schema} from public`,
  ],
  down: (names) => [cycle(names, false), ...down(names), ...uniqueDown(names)],
}

function columns({ schema: s }: Names): string[] {
  return [`alter table ${s}.queues add column limits jsonb, add column pause_reason text`]
}

function tables({ schema: s }: Names): string[] {
  return [
    // News about keys, added by whoever makes a job of the key ready or frees a slot. Only added to, so that nobody waits
    // for anybody: a push in a caller's long transaction locks nothing that a settlement needs.
    `create table ${s}.limit_arrivals (
  queue text not null,
  key   text not null,
  rank  integer,                                     -- of the job that is ready; null: a slot is free again
  at    timestamptz,
  job   uuid,
  stops boolean not null default false               -- the job failed for good, and its key is to stop
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)`,
    `create index limit_arrivals_key on ${s}.limit_arrivals (queue, key)`,

    // Keys that have ready jobs, or a memory. Only claims write here, each under the row's lock.
    `create table ${s}.limit_keys (
  queue      text not null,
  key        text not null,
  rank       integer not null,                       -- of its next job
  turn       timestamptz not null,                   -- place among keys of one rank
  ready      boolean not null,                       -- worth a look
  free_at    timestamptz,                            -- worth a look then: its rate allows more
  tokens     float8,
  tokens_at  timestamptz,
  stopped_by uuid,                                   -- the failed job after which an ordered key stands still
  stopped_at timestamptz,
  primary key (queue, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)`,
    `create index limit_keys_ready on ${s}.limit_keys (queue, rank, turn, key) where ready`,
    `create index limit_keys_free on ${s}.limit_keys (queue, free_at) where free_at is not null`,
    `create index limit_keys_stopped on ${s}.limit_keys (queue, stopped_at) where stopped_by is not null`,

    // One row per queue with a limit of its own: the lock that its claims take, and the state of its rate.
    `create table ${s}.limit_queues (
  queue     text primary key,
  claims    bigint not null default 0,
  tokens    float8,
  tokens_at timestamptz
)`,
    `create table ${s}.queue_outcomes (
  queue  text not null,
  bucket timestamptz not null,
  total  integer not null,
  failed integer not null,
  primary key (queue, bucket)
)`,
  ]
}

function indexes({ schema: s }: Names): string[] {
  return [
    `drop index ${s}.jobs_ready`,
    `drop index ${s}.jobs_suspect`,
    `drop index ${s}.jobs_running`,
    `create index jobs_ready on ${s}.jobs (queue, rank, ready_at, id)
      where state = 'pending' and crashes < 2 and (options ->> 'key') is null`,
    `create index jobs_suspect on ${s}.jobs (queue, rank, ready_at, id)
      where state = 'pending' and crashes >= 2 and (options ->> 'key') is null`,
    `create index jobs_running on ${s}.jobs (worker, queue) where state = 'running'`,
    // Jobs of one key in the order of their pushes: one that is tried again takes its old place.
    `create index jobs_keyed on ${s}.jobs (queue, (options ->> 'key'), rank, created_at, id)
      where state = 'pending' and (options ->> 'key') is not null`,
    `create index jobs_keyed_running on ${s}.jobs (queue, (options ->> 'key')) where state = 'running' and (options ->> 'key') is not null`,
    `create index jobs_keyed_waiting on ${s}.jobs (queue, (options ->> 'key'))
      where (options ->> 'key') is not null and claims > 0 and state in ('retrying', 'scheduled', 'blocked')`,
  ]
}

/*
 * A job's key stands among its options, so that no path which copies a job (retry, history, SQL) can forget it. A stored
 * generated column for it was measured: every update takes the row apart and puts it together again, 9 % of a drain.
 */

/**
 * Whoever makes a keyed job ready, or takes one out of the way, tells of it in the same transaction; so it is with keys that
 * are free again. One trigger per event: what a job without options pays is a look at whether it has any.
 */
function triggers({ schema: s }: Names): string[] {
  const arrived = (row: string) =>
    `insert into ${s}.limit_arrivals (queue, key, rank, at, job)
    values (${row}.queue, ${row}.options ->> 'key', ${row}.rank, ${row}.created_at, ${row}.id);`
  return [
    `create function ${s}.job_changed() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'INSERT' then
    ${arrived("new")}
    return null;
  end if;
  if old.options ->> 'key' is not null then
    if tg_op = 'DELETE' then
      if old.state <> 'pending' then
        insert into ${s}.limit_arrivals (queue, key) values (old.queue, old.options ->> 'key');
      end if;
    elsif new.state = 'pending' then
      ${arrived("new")}
    elsif new.state <> 'running' and old.state <> new.state then
      insert into ${s}.limit_arrivals (queue, key) values (new.queue, new.options ->> 'key');
    end if;
  end if;
  if old.options ? 'unique' and (tg_op = 'DELETE' or new.state = 'running' and old.state <> 'running') then
    perform ${s}.unique_moved(old.options -> 'unique', old.id, tg_op = 'UPDATE', old.claims > 0, old.state = 'running');
  end if;
  return null;
end
$$`,
    `create trigger job_pushed after insert on ${s}.jobs for each row
  when (new.options is not null and (new.options ->> 'key') is not null and new.state = 'pending') execute function ${s}.job_changed()`,
    `create trigger job_changed after update of state, rank, queue, ready_at on ${s}.jobs for each row
  when (old.options is not null and (old.options ? 'unique' or (old.options ->> 'key') is not null and new.state <> 'running'))
  execute function ${s}.job_changed()`,
    `create trigger job_ended after delete on ${s}.jobs for each row
  when (old.options is not null and (old.options ? 'unique' or (old.options ->> 'key') is not null)) execute function ${s}.job_changed()`,

    `create function ${s}.limit_stopped() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select 1 from ${s}.queues q where q.name = new.queue and q.limits ->> 'ordered' = 'stop') then
    insert into ${s}.limit_arrivals (queue, key, job, stops) values (new.queue, new.options ->> 'key', new.id, true);
  end if;
  return null;
end
$$`,
    `create trigger limit_stopped after insert on ${s}.jobs_history for each row
  when (new.state = 'failed' and new.options ->> 'key' is not null) execute function ${s}.limit_stopped()`,
  ]
}

/**
 * What a rate still allows. A fixed window (no burst) opens with the first job after the last one has closed, and allows
 * \`allowed\` jobs; a token bucket holds up to \`burst\` and fills by \`allowed\` per window.
 */
function left({ schema: s }: Names): string {
  return `create function ${s}.limit_left(tokens float8, since timestamptz, at timestamptz, allowed float8, window_ms float8, burst float8)
returns float8 language sql immutable as $$
  select case
    when since is null then coalesce(burst, allowed)
    when burst is null then
      case when at >= since + window_ms * interval '1 millisecond' then allowed else least(tokens, allowed) end
    else least(burst, tokens + greatest(0, extract(epoch from at - since))::float8 * 1000 * allowed / window_ms)
  end
$$`
}

/** Counts how attempts ended, and pauses the queue when too many of them failed. Returns whether it did. */
function breaker({ schema: s }: Names): string {
  return `create function ${s}.count_outcomes_1(p_queue text, p_total integer, p_failed integer, p_breaker jsonb)
returns boolean language plpgsql ${pinned} as $$
declare
  v_window float8 := (p_breaker ->> 'windowMs')::float8;
  v_width float8 := greatest(1, (p_breaker ->> 'windowMs')::float8 / 10000);
  v_total bigint; v_failed bigint;
begin
  insert into ${s}.queue_outcomes as o (queue, bucket, total, failed)
  values (p_queue, to_timestamp(floor(extract(epoch from now()) / v_width) * v_width), p_total, p_failed)
  on conflict (queue, bucket) do update set total = o.total + excluded.total, failed = o.failed + excluded.failed;
  if p_failed = 0 then return false; end if;
  select sum(o.total), sum(o.failed) into v_total, v_failed from ${s}.queue_outcomes o
  where o.queue = p_queue and o.bucket > now() - v_window * interval '1 millisecond';
  if v_total < (p_breaker ->> 'minimum')::integer or v_failed < v_total * (p_breaker ->> 'failureRatio')::float8 then
    delete from ${s}.queue_outcomes o
    where o.queue = p_queue and o.bucket < now() - 2 * v_window * interval '1 millisecond';
    return false;
  end if;
  update ${s}.queues q set paused_at = now(), resume_at = now() + (p_breaker ->> 'pauseMs')::float8 * interval '1 millisecond',
    pause_reason = format('%s of the last %s attempts failed', v_failed, v_total), revision = q.revision + 1, updated_at = now()
  where q.name = p_queue and q.paused_at is null or q.name = p_queue and q.resume_at <= now();
  if not found then return false; end if;
  -- Counted from zero once it goes on: what failed before says nothing about how it is then.
  delete from ${s}.queue_outcomes o where o.ctid = any(array(
    select d.ctid from ${s}.queue_outcomes d where d.queue = p_queue for update skip locked));
  return true;
end
$$`
}

function down({ schema: s }: Names): string[] {
  return [
    `drop function ${s}.claim_limited_1(uuid, text, uuid, integer, boolean, text[], jsonb)`,
    `drop function ${s}.take_arrivals_1(text, integer)`,
    `drop function ${s}.count_outcomes_1(text, integer, integer, jsonb)`,
    `drop function ${s}.limit_left(float8, timestamptz, timestamptz, float8, float8, float8)`,
    `drop trigger limit_stopped on ${s}.jobs_history`,
    ...["job_pushed", "job_changed", "job_ended"].map((trigger) => `drop trigger ${trigger} on ${s}.jobs`),
    `drop function ${s}.limit_stopped()`,
    `drop function ${s}.job_changed()`,
    `drop table ${s}.limit_arrivals, ${s}.limit_keys, ${s}.limit_queues, ${s}.queue_outcomes`,
    `drop index ${s}.jobs_running`,
    ...["jobs_ready", "jobs_suspect", "jobs_keyed", "jobs_keyed_running", "jobs_keyed_waiting"].map(
      (index) => `drop index ${s}.${index}`,
    ),
    `alter table ${s}.queues drop column limits, drop column pause_reason`,
    `create index jobs_ready on ${s}.jobs (queue, rank, ready_at, id) where state = 'pending' and crashes < 2`,
    `create index jobs_suspect on ${s}.jobs (queue, rank, ready_at, id) where state = 'pending' and crashes >= 2`,
    `create index jobs_running on ${s}.jobs (worker) where state = 'running'`,
  ]
}
