import type { PluginNames } from "../../../model/plugin.ts"
import { pinned } from "./settings.ts"

/** What people and timers do to a workflow. Each locks the workflow's row and no job's. */
export const operations = (names: PluginNames): string[] => [
  signal(names),
  fire(names),
  cancel(names),
  pause(names),
  gone(names),
  retry(names),
]

const signal = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_signal_1(p_workflow uuid, p_name text, p_payload jsonb, p_most integer) returns text language plpgsql ${pinned} as $$
declare
  v_finished timestamptz; v_step bigint;
begin
  select w.finished_at into v_finished from ${s}.workflows w where w.id = p_workflow for update;
  if not found then return 'unknown'; end if;
  if v_finished is not null then return 'finished'; end if;
  select s.id into v_step from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and s.kind = 'signal' and s.state = 'active' and s.plan ->> 'signal' = p_name order by s.step limit 1;
  if not found then
    if (select count(*) from ${s}.workflow_signals g where g.workflow_id = p_workflow) >= p_most then return 'full'; end if;
    insert into ${s}.workflow_signals (workflow_id, name, payload) values (p_workflow, p_name, p_payload);
    return 'kept';
  end if;
  perform ${s}.workflow_end_step_1(v_step, 'succeeded', coalesce(p_payload, 'null'), null, null);
  perform ${s}.workflow_run_1(array[p_workflow], array[v_step], null);
  return 'taken';
end
$$`

/** Ends timers, and waits whose time is over. Tells in how many milliseconds the next one is due. */
const fire = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_fire_1(p_limit integer, out fired integer, out next_ms float8) language plpgsql ${pinned} as $$
declare
  v_workflows uuid[]; v_steps bigint[];
begin
  select array_agg(distinct d.workflow_id), array_agg(d.id) into v_workflows, v_steps from (
    select s.id, s.workflow_id from ${s}.workflow_steps s where s.wake_at <= now() order by s.wake_at limit p_limit) d;
  fired := 0;
  if v_steps is not null then
    perform 1 from ${s}.workflows w where w.id = any(v_workflows) order by w.id for update;
    with due as (
      update ${s}.workflow_steps s set wake_at = null, finished_at = now(),
        state = case s.kind when 'timer' then 'succeeded' else 'failed' end,
        result = case s.kind when 'timer' then 'null'::jsonb end,
        errors = case when s.kind <> 'timer' then jsonb_build_array(jsonb_build_object('at', now(), 'attempt', 0,
          'name', 'TimeoutError', 'code', 'MILLRACE_TIMEOUT', 'message', format('the signal "%s" did not come in time', s.plan ->> 'signal'))) end
      where s.id = any(v_steps) and s.state = 'active' and s.wake_at <= now() returning s.id)
    select array_agg(d.id) into v_steps from due d;
    fired := coalesce(cardinality(v_steps), 0);
    if fired > 0 then perform ${s}.workflow_run_1(v_workflows, v_steps, null); end if;
  end if;
  select extract(epoch from s.wake_at - clock_timestamp()) * 1000 into next_ms from ${s}.workflow_steps s
  where s.wake_at is not null order by s.wake_at limit 1;
end
$$`

/** What has not started never does. Jobs that are there already are cancelled by the caller, who may not lock them here. */
const cancel = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_cancel_1(p_workflow uuid, p_reason text, p_compensate boolean) returns text language plpgsql ${pinned} as $$
declare
  w ${s}.workflows%rowtype; v_ended bigint[]; v_ready bigint[];
begin
  select * into w from ${s}.workflows where id = p_workflow for update;
  if not found then return 'unknown'; end if;
  if w.finished_at is not null then return 'finished'; end if;
  if w.state in ('cancelling', 'compensating') then return 'ending'; end if;
  update ${s}.workflows set state = 'cancelling', compensate = compensate or p_compensate, updated_at = now(),
    cancel = jsonb_build_object('reason', p_reason, 'at', now()) where id = p_workflow;
  -- Those that wait for something that runs are cancelled when that has ended: the last steps must end last.
  select array_agg(s.id order by s.step) into v_ready from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and s.item = -1 and s.state = 'waiting' and s.waits = 0;
  v_ended := ${s}.workflow_halt_1(p_workflow);
  perform ${s}.workflow_run_1(array[p_workflow], v_ended, v_ready);
  return 'cancelled';
end
$$`

const pause = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_pause_1(p_workflow uuid, p_paused boolean) returns text language plpgsql ${pinned} as $$
declare
  w ${s}.workflows%rowtype; v_done bigint[] := '{}'; v_ready bigint[]; v_map bigint;
begin
  select * into w from ${s}.workflows where id = p_workflow for update;
  if not found then return 'unknown'; end if;
  if w.finished_at is not null then return 'finished'; end if;
  if w.state <> 'running' then return 'ending'; end if;
  if w.paused = p_paused then return 'same'; end if;
  update ${s}.workflows set paused = p_paused, updated_at = now() where id = p_workflow;
  if not p_paused then
    for v_map in select s.id from ${s}.workflow_steps s
      where s.workflow_id = p_workflow and s.item = -1 and s.kind = 'map' and s.state = 'active' loop
      if ${s}.workflow_fold_1(v_map, 0, 0) then v_done := v_done || v_map; end if;
    end loop;
    select array_agg(s.id order by s.step) into v_ready from ${s}.workflow_steps s
    where s.workflow_id = p_workflow and s.item = -1 and s.state = 'waiting' and s.waits = 0;
    perform ${s}.workflow_run_1(array[p_workflow], v_done, v_ready);
  end if;
  return 'done';
end
$$`

/**
 * The safety net below the trigger: a step whose job was deleted before it finished ends as cancelled. In one snapshot a
 * released step always has a job that is not finished, since the end of both is one transaction.
 */
const gone = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_gone_1(p_after uuid, p_limit integer, out looked integer, out last uuid, out ended integer) language plpgsql ${pinned} as $$
declare
  v_workflows uuid[]; v_steps bigint[]; v_jobs uuid[];
begin
  select array_agg(w.id order by w.id), count(*) into v_workflows, looked from (
    select w.id from ${s}.workflows w where w.state in ('running', 'failing', 'cancelling', 'compensating')
      and w.id > p_after order by w.id limit p_limit) w;
  last := v_workflows[cardinality(v_workflows)];
  ended := 0;
  if v_workflows is null then return; end if;
  with lost as materialized (
    select s.id, case when s.undo_state = 'active' then s.undo_job else s.job_id end as job
    from ${s}.workflow_steps s
    where s.workflow_id = any(v_workflows) and (s.state = 'active' or s.undo_state = 'active')
      and case when s.undo_state = 'active' then s.undo_job else s.job_id end is not null)
  select array_agg(l.id), array_agg(l.job) into v_steps, v_jobs
  from lost l where not exists (select 1 from ${s}.jobs j where j.id = l.job and j.id = any(array(select x.job from lost x)));
  if v_steps is null then return; end if;
  ended := cardinality(v_steps);
  perform ${s}.workflow_take_1(v_steps, v_jobs, array_fill('cancelled'::text, array[ended]),
    array_fill(0, array[ended]), array_fill(null::timestamptz, array[ended]), array_fill(null::jsonb, array[ended]),
    array_fill(jsonb_build_array(jsonb_build_object('at', now(), 'attempt', 0, 'name', 'WorkflowError',
      'code', 'MILLRACE_UNKNOWN_JOB', 'message', 'the job of this step was deleted before it finished')), array[ended]));
end
$$`

/** Runs again what did not succeed, and what comes after it; or what comes from these steps on. */
const retry = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_retry_1(p_workflow uuid, p_from text[], p_input jsonb) returns text language plpgsql ${pinned} as $$
declare
  w ${s}.workflows%rowtype; v_set bigint[]; v_from bigint[]; v_next bigint[]; v_fresh bigint[]; v_ready bigint[];
begin
  select * into w from ${s}.workflows where id = p_workflow for update;
  if not found then return 'unknown'; end if;
  if w.finished_at is null then return 'unfinished'; end if;
  select coalesce(array_agg(s.id), '{}') into v_from from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and s.item = -1 and s.key = any(p_from);
  select v_from || coalesce(array_agg(distinct coalesce(s.map_id, s.id)), '{}') into v_set from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and (s.item = -1 and s.state <> 'succeeded' or s.undo_state is not null);
  loop
    select array_agg(distinct c) into v_next from (
      select unnest(s.children || s.loose) as c from ${s}.workflow_steps s where s.id = any(v_set)) u where c <> all(v_set);
    exit when v_next is null;
    v_set := v_set || v_next;
  end loop;
  select coalesce(array_agg(distinct u), '{}') into v_set from unnest(v_set) u;
  if cardinality(v_set) = 0 then return 'nothing'; end if;
  -- A map runs only those of its items again that did not succeed, unless its list may have become another.
  select coalesce(array_agg(m.id), '{}') into v_fresh from ${s}.workflow_steps m
  where m.id = any(v_set) and m.kind = 'map' and (p_input is not null or m.id = any(v_from) or m.total is null or exists (
    select 1 from ${s}.workflow_steps p where p.id = any(v_set) and m.id = any(p.children || p.loose)));
  delete from ${s}.workflow_steps i where i.workflow_id = p_workflow and i.map_id = any(v_fresh);
  update ${s}.workflow_steps s set runs = (case when jsonb_array_length(s.runs) >= 20 then s.runs - 0 else coalesce(s.runs, '[]') end)
      || jsonb_build_array(jsonb_build_object('jobId', s.job_id, 'state', s.state, 'attempts', s.attempts, 'releasedAt', s.released_at,
        'startedAt', s.started_at, 'finishedAt', s.finished_at, 'errors', s.errors, 'undone', s.undo_state)),
    state = 'waiting', waits = 0, skips = 0, job_id = null, released_at = null, started_at = null, finished_at = null, attempts = 0,
    result = null, errors = null, undo_job = null, undo_state = null, undo_errors = null
  where s.id = any(v_set)
    or (s.workflow_id = p_workflow and s.map_id = any(v_set) and (s.state <> 'succeeded' or s.undo_state is not null));
  update ${s}.workflow_steps m set total = null, remaining = null, running = null, bad = null, next_item = null where m.id = any(v_fresh);
  update ${s}.workflow_steps m set running = 0, bad = 0, remaining = c.n, next_item = c.first
  from (select i.map_id, count(*)::integer as n, min(i.item) as first from ${s}.workflow_steps i
    where i.workflow_id = p_workflow and i.map_id = any(v_set) and i.state = 'waiting' group by 1) c
  where m.id = c.map_id and m.id = any(v_set);
  update ${s}.workflow_steps s set waits = c.n
  from (select u.id, count(*)::integer as n from (
    select unnest(p.children || p.loose) as id from ${s}.workflow_steps p where p.id = any(v_set)) u group by u.id) c
  where s.id = c.id and s.id = any(v_set);
  update ${s}.workflows set state = 'running', paused = false, compensate = false, undone = null, failure = null, cancel = null,
    finished_at = null, keep_until = null, retries = retries + 1, unfinished = ${s}.workflow_unfinished_1(id), updated_at = now(),
    input = coalesce(p_input, input)
  where id = p_workflow;
  select array_agg(s.id order by s.step) into v_ready from ${s}.workflow_steps s where s.id = any(v_set) and s.waits = 0;
  perform ${s}.workflow_run_1(array[p_workflow], null, v_ready);
  return 'done';
end
$$`
