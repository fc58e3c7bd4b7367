import type { PluginNames } from "../../../model/plugin.ts"
import { inner, pinned } from "./settings.ts"

/*
 * Every way in which a job ends (settled, cancelled while it waited, lost with its worker too often) writes it into the
 * history, in the transaction that ends it. So that is where workflows hear of it: no worker needs to know of them, and
 * none can forget. Of jobs that belong to no workflow only the one look at their ids is paid for.
 */
export const endedFunctions = (names: PluginNames): string[] => [
  take(names),
  takeSafely(names),
  trigger(names),
  attach(names),
]

/** Writes down how jobs ended, and runs what that releases. Arrays are parallel. */
const take = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_take_1(p_steps bigint[], p_jobs uuid[], p_states text[],
  p_attempts integer[], p_started timestamptz[], p_results jsonb[], p_errors jsonb[]) returns void language plpgsql ${inner} as $$
declare
  v_workflows uuid[]; v_undoing boolean; v_done bigint[]; v_maps bigint[]; v_bad boolean[]; r record;
begin
  select array_agg(s.workflow_id), bool_or(s.undo_state = 'active') into v_workflows, v_undoing
  from ${s}.workflow_steps s where s.id = any(p_steps);
  -- In id order, like everything that locks workflows; jobs are locked before, never after.
  perform 1 from ${s}.workflows w where w.id = any(v_workflows) order by w.id for update;
  with ended as (
    update ${s}.workflow_steps s set state = e.state, attempts = e.attempts, started_at = e.started, finished_at = now(),
      result = e.result, errors = e.errors
    from unnest(p_steps, p_jobs, p_states, p_attempts, p_started, p_results, p_errors)
      as e(id, job, state, attempts, started, result, errors)
    where s.id = e.id and s.id = any(p_steps) and s.job_id = e.job and s.state = 'active'
    returning s.id, s.map_id, s.state)
  select coalesce(array_agg(e.id) filter (where e.map_id is null), '{}'), array_agg(e.map_id) filter (where e.map_id is not null),
    array_agg(e.state <> 'succeeded') filter (where e.map_id is not null) into v_done, v_maps, v_bad from ended e;
  if v_undoing then
    update ${s}.workflow_steps s set undo_state = case e.state when 'succeeded' then 'succeeded' else 'failed' end, undo_errors = e.errors
    from unnest(p_steps, p_jobs, p_states, p_errors) as e(id, job, state, errors)
    where s.id = e.id and s.id = any(p_steps) and s.undo_job = e.job and s.undo_state = 'active';
  end if;
  for r in select u.id, count(*)::integer as ended, (count(*) filter (where u.bad))::integer as bad
    from unnest(v_maps, v_bad) as u(id, bad) group by u.id order by u.id loop
    if ${s}.workflow_fold_1(r.id, r.ended, r.bad) then v_done := v_done || r.id; end if;
  end loop;
  perform ${s}.workflow_run_1(v_workflows, v_done, null);
end
$$`

/**
 * A workflow that cannot be advanced (its data breaks a limit of the database's, say) fails by itself: it must not keep a
 * batch of outcomes from being stored.
 */
const takeSafely = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_take_safely_1(p_steps bigint[], p_jobs uuid[], p_states text[],
  p_attempts integer[], p_started timestamptz[], p_results jsonb[], p_errors jsonb[]) returns void language plpgsql ${pinned} as $$
declare
  v_id uuid; v_message text;
begin
  begin
    perform ${s}.workflow_take_1(p_steps, p_jobs, p_states, p_attempts, p_started, p_results, p_errors);
    return;
  exception when others then
    -- Trouble that passes is the caller's to try again.
    if sqlstate ~ '^(08|25|40|53|55|57|58)' then raise; end if;
  end;
  for v_id in select distinct s.workflow_id from ${s}.workflow_steps s where s.id = any(p_steps) order by 1 loop
    begin
      perform ${s}.workflow_take_1(array_agg(u.id), array_agg(u.job), array_agg(u.state), array_agg(u.attempts),
        array_agg(u.started), array_agg(u.result), array_agg(u.errors))
      from unnest(p_steps, p_jobs, p_states, p_attempts, p_started, p_results, p_errors)
        as u(id, job, state, attempts, started, result, errors) join ${s}.workflow_steps s on s.id = u.id
      where s.workflow_id = v_id and s.id = any(p_steps);
    exception when others then
      if sqlstate ~ '^(08|25|40|53|55|57|58)' then raise; end if;
      get stacked diagnostics v_message = message_text;
      update ${s}.workflow_steps set state = 'cancelled', finished_at = now(), wake_at = null
      where workflow_id = v_id and state in ('waiting', 'active');
      update ${s}.workflows set state = 'failed', finished_at = now(), updated_at = now(), unfinished = 0,
        keep_until = case when keep_s >= 0 then now() + keep_s * interval '1 second' end,
        failure = jsonb_build_object('error', jsonb_build_object('name', 'WorkflowError', 'code', 'MILLRACE_BAD_WORKFLOW',
          'message', left(v_message, 2000)))
      where id = v_id and finished_at is null;
    end;
  end loop;
end
$$`

const trigger = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_ended_1() returns trigger language plpgsql as $$
declare
  r record;
begin
  select pg_catalog.array_agg(e.step) as steps, pg_catalog.array_agg(e.id) as jobs, pg_catalog.array_agg(e.state::pg_catalog.text) as states,
    pg_catalog.array_agg(e.attempts) as attempts, pg_catalog.array_agg(e.started_at) as started,
    pg_catalog.array_agg(e.result) as results, pg_catalog.array_agg(e.errors) as errors
  into r from (
    select ${s}.workflow_step_1(n.id) as step, n.id, n.state, n.attempts, n.started_at, n.result, n.errors from ended n
    offset 0) e -- so that the step is worked out once
  where e.step is not null;
  if r.steps is not null then
    perform ${s}.workflow_take_safely_1(r.steps, r.jobs, r.states, r.attempts, r.started, r.results, r.errors);
  end if;
  return null;
end
$$`

const attach = ({ schema: s }: PluginNames): string =>
  `create trigger workflow_ended after insert on ${s}.jobs_history referencing new table as ended
  for each statement execute function ${s}.workflow_ended_1()`
