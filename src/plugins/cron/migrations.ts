import type { PluginMigration, PluginNames } from "../../model/plugin.ts"

/*
 * A tick is a row with the schedule's key and the time it is due: its primary key is the promise that no tick has two jobs,
 * whatever workers, clocks and leaders do. `schedule_fire_1` writes tick, job and the schedule's next time in one statement, so
 * a worker that is killed or frozen leaves nothing half done and holds no lock.
 */

export const migrations: readonly PluginMigration[] = [
  {
    version: 1,
    up: (names) => [...tables(names), clock(names), wait(names), insert(names), fire(names), run(names), revoke(names)],
    down: ({ schema: s }) => [
      `drop function ${s}.schedule_run_1, ${s}.schedule_fire_1, ${s}.schedule_insert_1, ${s}.schedule_wait_1, ${s}.schedule_clock_1`,
      `drop table ${s}.schedule_ticks, ${s}.schedules`,
    ],
  },
]

const tables = ({ schema: s }: PluginNames): string[] => [
  `create table ${s}.schedules (
  key          text primary key,
  job          text not null,
  queue        text not null,
  kind         jsonb not null,                         -- as push_1 takes it
  payload      jsonb,
  cron         text,
  every_ms     bigint check (every_ms >= 1000),
  zone         text not null default 'UTC',
  starts_at    timestamptz,
  ends_at      timestamptz,
  jitter_ms    integer not null default 0 check (jitter_ms >= 0),
  overlap      text not null default 'skip' check (overlap in ('allow', 'skip', 'replace')),
  missed       text not null default 'once' check (missed in ('skip', 'once', 'all')),
  missed_limit integer not null default 1000 check (missed_limit between 1 and 10000),
  grace_ms     bigint not null default 60000 check (grace_ms >= 0),
  owner        text,                                   -- of the code that declares it; null: made at run time
  declared     jsonb,                                  -- as the code declared it last: what differs now was edited since
  paused_at    timestamptz,
  next_at      timestamptz,                            -- the next tick; null: not known yet, or never again
  run_at       timestamptz default now(),              -- when to act: next_at with its jitter; null: never
  last_at      timestamptz,                            -- the last tick that came to a job
  last_job     uuid,
  problem      text,                                   -- why it cannot run
  version      bigint not null default 1,              -- grows with every change: who planned on an older one does nothing
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  constraint schedules_timing check (num_nonnulls(cron, every_ms) = 1)
)`,
  `create index schedules_due on ${s}.schedules (run_at, key) where paused_at is null and run_at is not null`,
  `create index schedules_problem on ${s}.schedules (key) where problem is not null`,
  `create table ${s}.schedule_ticks (
  key      text not null references ${s}.schedules on update cascade on delete cascade,
  at       timestamptz not null,                       -- when it was due, not when it was fired
  outcome  text not null check (outcome in ('pushed', 'duplicate', 'skipped', 'missed')),
  job      uuid,
  missed   integer not null default 0,                 -- ticks before it that came to nothing
  manual   boolean not null default false,
  reason   text,
  fired_at timestamptz not null default clock_timestamp(),
  worker   text,
  primary key (key, at)
)`,
  `create index schedule_ticks_fired on ${s}.schedule_ticks (fired_at)`,
]

const plain = "set search_path = pg_catalog, pg_temp"
/** Looks jobs up by their ids, whatever a session has learnt of an empty table. */
const pinned = `${plain} set enable_seqscan = off`

/** The only clock of schedules. */
const clock = ({ schema: s }: PluginNames): string =>
  `create function ${s}.schedule_clock_1() returns timestamptz language sql volatile ${plain} as 'select clock_timestamp()'`

/** Milliseconds until then. */
const wait = ({ schema: s }: PluginNames): string =>
  `create function ${s}.schedule_wait_1(p_at timestamptz) returns float8 language sql volatile ${plain} as
  'select extract(epoch from p_at - clock_timestamp())::float8 * 1000'`

/** Pushes the job of one tick; returns the job that holds its unique key, which is another one when that was taken. */
function insert({ schema: s, channel }: PluginNames): string {
  return `create function ${s}.schedule_insert_1(p_job uuid, p_kind jsonb, p_payload jsonb, p_meta jsonb, p_notify boolean)
returns uuid language plpgsql ${plain} as $$
declare
  v_kind jsonb := p_kind || jsonb_build_object('n', 0, 'meta', coalesce(p_kind -> 'meta', '{}') || p_meta);
  v_payload json := json_build_array(coalesce(p_payload, 'null'));
  v_held uuid;
  -- Keys that outlive their job or begin anew (periods, throttles, debounces) live in a table of their own.
  v_special boolean := v_kind ? 'conflict' or v_kind #> '{options,unique}' is not null;
begin
  if v_special or v_kind ? 'unique_key' then
    for round in 1..20 loop
      if v_special then
        select u.existing into v_held
        from ${s}.push_unique_2(array[p_job], array[0], v_payload, json_build_array(v_kind), round > 1) u;
      else
        select u.existing into v_held
        from ${s}.push_unique_1(array[p_job], array[0], v_payload, json_build_array(v_kind), round > 1) u;
      end if;
      exit when v_held is not null;
    end loop;
    if v_held is null then raise exception 'the unique key is held by a job that cannot be seen'; end if;
  else
    perform ${s}.push_1(array[p_job], array[0], v_payload, json_build_array(v_kind), false);
    v_held := p_job;
  end if;
  if p_notify and v_held = p_job then perform pg_notify('${channel}', 'r ' || (v_kind ->> 'queue')); end if;
  return v_held;
end
$$`
}

/**
 * Acts on plans: [{ key, version, next, run, problem, ticks: [{ at, job, push, missed, meta }] }], each whole or not at all, and
 * none because of another. One that was made on an older version of its schedule does nothing: somebody else was there first. So
 * does one whose row is locked: whoever edits it decides what comes next.
 */
function fire({ schema: s }: PluginNames): string {
  return `create function ${s}.schedule_fire_1(p_plans jsonb, p_worker text, p_notify boolean)
returns table (key text, at timestamptz, outcome text, job uuid, problem text) language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_plan jsonb; v_tick jsonb; v_row ${s}.schedules; v_job uuid; v_outcome text; v_reason text; v_at timestamptz;
  v_now timestamptz := ${s}.schedule_clock_1();
  v_done jsonb; v_passing boolean;
begin
  for v_plan in select value from jsonb_array_elements(p_plans) order by value ->> 'key' loop
    begin
      select * into v_row from ${s}.schedules s
      where s.key = v_plan ->> 'key' and s.version = (v_plan ->> 'version')::bigint and s.paused_at is null
      for update skip locked;
      continue when not found;
      if v_plan ? 'problem' then
        raise exception using message = v_plan ->> 'problem', errcode = '22023';
      end if;
      -- The clock was set back since the plan was made: nothing is due yet.
      continue when exists (select from jsonb_array_elements(v_plan -> 'ticks') t where (t ->> 'at')::timestamptz > v_now);
      v_done := '[]';
      for v_tick in select value from jsonb_array_elements(v_plan -> 'ticks') loop
        v_at := (v_tick ->> 'at')::timestamptz;
        v_job := null; v_reason := null; v_outcome := 'missed';
        if (v_tick -> 'push')::boolean then
          v_outcome := 'pushed';
          if v_row.overlap = 'skip' and exists (select from ${s}.jobs j where j.id = v_row.last_job) then
            v_outcome := 'skipped';
            v_reason := 'job ' || v_row.last_job || ' has not finished';
          end if;
        end if;
        insert into ${s}.schedule_ticks as t (key, at, outcome, missed, reason, worker)
        values (v_row.key, v_at, v_outcome, (v_tick ->> 'missed')::integer, v_reason, p_worker) on conflict do nothing;
        continue when not found;
        if v_outcome = 'pushed' then
          if v_row.overlap = 'replace' and v_row.last_job is not null then
            perform ${s}.cancel(v_row.last_job, format('replaced by the next run of schedule "%s"', v_row.key));
          end if;
          v_job := ${s}.schedule_insert_1((v_tick ->> 'job')::uuid, v_row.kind, v_row.payload, v_tick -> 'meta', p_notify);
          if v_job <> (v_tick ->> 'job')::uuid then v_outcome := 'duplicate'; end if;
          update ${s}.schedule_ticks t set outcome = v_outcome, job = v_job where t.key = v_row.key and t.at = v_at;
          v_row.last_job := v_job;
          v_row.last_at := v_at;
        end if;
        v_done := v_done || jsonb_build_object('at', v_at, 'outcome', v_outcome, 'job', v_job);
      end loop;
      update ${s}.schedules s set next_at = (v_plan ->> 'next')::timestamptz, run_at = (v_plan ->> 'run')::timestamptz,
        last_at = v_row.last_at, last_job = v_row.last_job, problem = null, version = s.version + 1
      where s.key = v_row.key;
      return query select v_row.key, d.at, d.outcome, d.job, null::text
        from jsonb_to_recordset(case v_done when '[]' then '[{}]' else v_done end) as d(at timestamptz, outcome text, job uuid);
    exception when others then
      -- It stays where it is, and is tried again: soon when others were only in the way, else in a minute, since whatever is
      -- wrong may be put right meanwhile.
      v_passing := sqlstate like '40%' or sqlstate in ('55P03', '57014');
      update ${s}.schedules s set problem = case when not v_passing then left(sqlerrm, 1000) end, version = s.version + 1,
        run_at = v_now + case when v_passing then interval '1 second' else interval '1 minute' end
      where s.key = v_plan ->> 'key' and s.version = (v_plan ->> 'version')::bigint;
      return query select v_plan ->> 'key', null::timestamptz, null::text, null::uuid,
        case when not v_passing then left(sqlerrm, 1000) end;
    end;
  end loop;
end
$$`
}

/** A run beside the ticks, because somebody wants one now. */
function run({ schema: s }: PluginNames): string {
  return `create function ${s}.schedule_run_1(p_key text, p_job uuid, p_notify boolean)
returns uuid language plpgsql ${pinned} as $$
declare
  v_row ${s}.schedules; v_job uuid; v_at timestamptz;
begin
  select * into v_row from ${s}.schedules s where s.key = p_key for update;
  if not found then return null; end if;
  -- A tick's time is whole milliseconds; this one's never is.
  v_at := date_trunc('milliseconds', ${s}.schedule_clock_1()) + interval '1 microsecond';
  v_at := greatest(v_at, (select max(t.at) + interval '1 millisecond' from ${s}.schedule_ticks t where t.key = p_key and t.manual));
  v_job := ${s}.schedule_insert_1(p_job, v_row.kind, v_row.payload,
    jsonb_build_object('schedule', jsonb_build_object('key', p_key, 'at', v_at, 'manual', true)), p_notify);
  insert into ${s}.schedule_ticks (key, at, outcome, job, manual)
  values (p_key, v_at, case when v_job = p_job then 'pushed' else 'duplicate' end, v_job, true);
  update ${s}.schedules s set last_job = v_job, version = s.version + 1 where s.key = p_key;
  return v_job;
end
$$`
}

const revoke = ({ schema: s }: PluginNames): string => `revoke all on all routines in schema ${s} from public`
