import type { PluginNames } from "../../../model/plugin.ts"
import { inner } from "./settings.ts"

/*
 * The engine: from steps that have ended to those that are released by it, wave by wave, for many workflows at once, until
 * nothing moves. Called with the workflows' rows locked, which is what makes two parents that end at once see each other.
 */
export const runFunctions = (names: PluginNames): string[] => [halt(names), undo(names), ...finish(names), run(names)]

/** Ends what waits for time or a signal in a workflow that goes no further, and maps that are between two items. */
const halt = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_halt_1(p_workflow uuid) returns bigint[] language plpgsql ${inner} as $$
declare
  v_ended bigint[]; v_map bigint;
begin
  with halted as (
    update ${s}.workflow_steps set state = 'cancelled', finished_at = now(), wake_at = null
    where workflow_id = p_workflow and state = 'active' and kind in ('timer', 'signal') returning id)
  select coalesce(array_agg(h.id), '{}') into v_ended from halted h;
  for v_map in select s.id from ${s}.workflow_steps s
    where s.workflow_id = p_workflow and s.item = -1 and s.kind = 'map' and s.state = 'active' and s.running = 0 loop
    if ${s}.workflow_fold_1(v_map, 0, 0) then v_ended := v_ended || v_map; end if;
  end loop;
  return v_ended;
end
$$`

/** Starts to undo what was done last and is not undone yet. False when nothing is left. */
const undo = (names: PluginNames): string => {
  const { schema: s, channel } = names
  return `create function ${s}.workflow_undo_1(p_workflow uuid) returns boolean language plpgsql ${inner} as $$
declare
  v_step integer; v_rows bigint[]; v_jobs uuid[]; v_notices text[];
begin
  if exists (select 1 from ${s}.workflow_steps s where s.workflow_id = p_workflow and s.undo_state = 'active') then
    return true;
  end if;
  select s.step into v_step from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and s.undoable and s.state = 'succeeded' and s.undo_state is null
  order by s.finished_at desc, s.step desc limit 1;
  if not found then return false; end if;
  select array_agg(s.id order by s.item desc) into v_rows from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and s.step = v_step and s.undoable and s.state = 'succeeded' and s.undo_state is null;
  v_jobs := ${s}.workflow_job_ids_1(v_rows);
  update ${s}.workflow_steps s set undo_state = 'active', undo_job = u.job
  from unnest(v_rows, v_jobs) as u(id, job) where s.id = u.id and s.id = any(v_rows);
  ${undoJobs(s, channel)}
  return true;
end
$$`
}

const undoJobs = (s: string, channel: string): string => `
  with pushed as (
    insert into ${s}.jobs (id, state, queue, name, rank, max_attempts, timeout_ms, keep_s, keep_failed_s, meta, tags, options, payload)
    select r.undo_job, 'pending', p.k ->> 'queue', p.k ->> 'name', coalesce((p.k ->> 'rank')::integer, 0),
      coalesce((p.k ->> 'max_attempts')::integer, 5), (p.k ->> 'timeout_ms')::integer,
      coalesce((p.k ->> 'keep_s')::integer, 86400), coalesce((p.k ->> 'keep_failed_s')::integer, 86400),
      coalesce(p.k -> 'meta', '{}') || jsonb_build_object('workflow', jsonb_build_object('id', r.workflow_id, 'step', r.key, 'undo', true)),
      (p.k ->> 'tags')::text[],
      p.k -> 'options',
      coalesce(${s}.workflow_fill_1(r.workflow_id, p.undo, w.input, r.input, r.item, r.result), 'null')
    from ${s}.workflow_steps r join ${s}.workflows w on w.id = r.workflow_id
      cross join (select d.plan -> 'undo' as undo, d.plan -> 'undo' -> 'job' as k from ${s}.workflow_steps d
        where d.workflow_id = p_workflow and d.step = v_step and d.item = -1) p
    where r.id = any(v_rows) and w.id = p_workflow
    returning 'r ' || queue as notice)
  select array_agg(distinct p.notice) into v_notices from pushed p;
  perform pg_notify('${channel}', n) from unnest(v_notices) as n;`

/**
 * What becomes of workflows whose last steps have all ended. Only the last ones are counted: the others write nothing to
 * the workflow's row.
 */
const finish = ({ schema: s, channel }: PluginNames): string[] => [
  `create function ${s}.workflow_count_1(p_steps bigint[]) returns void language plpgsql ${inner} as $$
declare
  v_workflows uuid[]; v_counts integer[]; v_events text[];
begin
  select array_agg(c.id), array_agg(c.n) into v_workflows, v_counts from (
    select s.workflow_id as id, count(*)::integer as n from ${s}.workflow_steps s
    where s.id = any(p_steps) and s.children = '{}' and s.loose = '{}' group by 1) c;
  if v_workflows is null then return; end if;
  with counted as (
    update ${s}.workflows w set unfinished = w.unfinished - c.n, updated_at = now(),
      state = case when w.unfinished = c.n and w.state = 'running' then 'succeeded' else w.state end,
      finished_at = case when w.unfinished = c.n and w.state = 'running' then now() end,
      keep_until = case when w.unfinished = c.n and w.state = 'running' and w.keep_s >= 0 then now() + w.keep_s * interval '1 second' end
    from unnest(v_workflows, v_counts) as c(id, n)
    where w.id = c.id and w.id = any(v_workflows)
    returning w.id, w.name, w.state, w.unfinished)
  select array_agg('{"from":"database","n":0,"name":"workflow.finished","body":{"id":"' || c.id || '","name":' || to_json(c.name)
      || ',"state":"succeeded"}}') filter (where c.state = 'succeeded'), -- json_build_object takes a multiple of the time
    array_agg(c.id) filter (where c.unfinished = 0 and c.state <> 'succeeded')
  into v_events, v_workflows from counted c;
  -- Some thousand bytes of them at a time: a notification costs more than what it tells.
  perform pg_notify('${channel}', 'e [' || string_agg(p.event, ',') || ']') from (
    select e as event, sum(octet_length(e) + 1) over (rows unbounded preceding) / 6000 as part from unnest(v_events) as e) p
  group by p.part;
  if v_workflows is not null then perform ${s}.workflow_finish_1(v_workflows); end if;
end
$$`,
  `create function ${s}.workflow_finish_1(p_workflows uuid[]) returns void language plpgsql ${inner} as $$
declare
  v_id uuid;
begin
  for v_id in select w.id from ${s}.workflows w
    where w.id = any(p_workflows) and w.unfinished = 0 and w.state in ('failing', 'cancelling', 'compensating') order by w.id loop
    if (select w.compensate from ${s}.workflows w where w.id = v_id) and ${s}.workflow_undo_1(v_id) then
      update ${s}.workflows set state = 'compensating', updated_at = now() where id = v_id;
    else
      update ${s}.workflows w set state = case when w.failure is null then 'cancelled' else 'failed' end,
        finished_at = now(), updated_at = now(),
        keep_until = case when w.keep_s >= 0 then now() + w.keep_s * interval '1 second' end,
        undone = case when w.compensate then (
          select case when bool_and(u.undo_state = 'succeeded') then 'all' when count(*) > 0 then 'some' end
          from ${s}.workflow_steps u where u.workflow_id = v_id and u.undo_state is not null) end
      where w.id = v_id;
      perform pg_notify('${channel}', 'e ' || json_build_object('from', 'database', 'n', 0, 'name', 'workflow.finished',
        'body', json_build_object('id', w.id, 'name', w.name, 'state', w.state))) from ${s}.workflows w where w.id = v_id;
    end if;
  end loop;
end
$$`,
]

const run = ({ schema: s, channel }: PluginNames): string =>
  `create function ${s}.workflow_run_1(p_workflows uuid[], p_done bigint[], p_ready bigint[]) returns void language plpgsql ${inner} as $$
declare
  v_done bigint[] := coalesce(p_done, '{}'); v_all bigint[] := '{}'; v_slow bigint[] := coalesce(p_ready, '{}'); v_go bigint[];
  v_rest bigint[]; v_ids bigint[]; v_counts integer[]; v_bads integer[]; v_id bigint; r record;
begin
  loop
    if cardinality(v_done) > 0 then
      -- A failure that fails its workflow, the first one.
      for r in select s.workflow_id, s.key, s.state, s.on_failure, s.errors from ${s}.workflow_steps s
        where s.id = any(v_done) and s.state in ('failed', 'cancelled') and s.on_failure in ('fail', 'compensate') order by s.id loop
        update ${s}.workflows set state = 'failing', compensate = r.on_failure = 'compensate',
          failure = jsonb_build_object('step', r.key, 'state', r.state, 'error', r.errors -> -1)
        where id = r.workflow_id and state = 'running';
        if found then
          v_done := v_done || ${s}.workflow_halt_1(r.workflow_id);
          perform pg_notify('${channel}', 'e ' || json_build_object('from', 'database', 'n', 0, 'name', 'workflow.failing',
            'body', json_build_object('id', r.workflow_id)));
        end if;
      end loop;
      v_all := v_all || v_done;
      with d as materialized (
        select s.children, s.loose, s.state = 'succeeded' or (s.state in ('failed', 'cancelled') and s.on_failure = 'continue') as good
        from ${s}.workflow_steps s where s.id = any(v_done)),
      e as (
        select c.id, count(*)::integer as n, (count(*) filter (where c.strict and not c.good))::integer as bad
        from (select unnest(d.children) as id, d.good, true as strict from d
          union all select unnest(d.loose), d.good, false from d) c group by c.id)
      select array_agg(e.id), array_agg(e.n), array_agg(e.bad) into v_ids, v_counts, v_bads from e;
      v_done := '{}';
      if v_ids is not null then
        select array_agg(s.id) filter (where s.go), array_agg(s.id) filter (where not s.go) into v_go, v_rest
        from (
          select s.id, s.simple and s.waits = e.n and s.skips + e.bad = 0 and w.state = 'running' and not w.paused as go
          from unnest(v_ids, v_counts, v_bads) as e(id, n, bad) join ${s}.workflow_steps s on s.id = e.id
            join ${s}.workflows w on w.id = s.workflow_id
          where s.id = any(v_ids) and s.state = 'waiting' and w.id = any(p_workflows)) s;
        if v_rest is not null then
          with u as (
            update ${s}.workflow_steps s set waits = s.waits - e.n, skips = s.skips + e.bad
            from unnest(v_ids, v_counts, v_bads) as e(id, n, bad)
            where s.id = e.id and s.id = any(v_rest) returning s.id, s.waits)
          select v_slow || coalesce(array_agg(u.id order by u.id) filter (where u.waits = 0), '{}') into v_slow from u;
        end if;
        if v_go is not null then perform ${s}.workflow_go_1(p_workflows, v_go); end if;
      end if;
    end if;
    foreach v_id in array v_slow loop
      if ${s}.workflow_release_1(v_id) then v_done := v_done || v_id; end if;
    end loop;
    v_slow := '{}';
    exit when cardinality(v_done) = 0;
  end loop;
  if cardinality(v_all) = 0 then perform ${s}.workflow_finish_1(p_workflows);
  else perform ${s}.workflow_count_1(v_all);
  end if;
end
$$`
