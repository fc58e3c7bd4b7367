import type { PluginNames } from "../../../model/plugin.ts"
import { inner } from "./settings.ts"

/*
 * Releasing steps: what happens when everything that a step waits for has ended. All of these are called with the
 * workflows' rows locked.
 */
export const releaseFunctions = (names: PluginNames): string[] => [
  go(names),
  refill(names),
  fold(names),
  ...release(names),
]

/** A payload. What is the whole input or item is taken as it is: a call costs more than the rest of the row. */
const filled = (s: string, plan: string, workflow: string, input: string, item = "null", index = "null"): string =>
  `case ${plan} ->> 'take' when 'input' then ${input} when 'item' then ${item}
          else ${s}.workflow_fill_1(${[workflow, plan, input, item, index].join(", ")}) end`

/**
 * Marks steps as released, stores their jobs and wakes the queues. `from` selects id, workflow, key, k (the kind of the
 * job, as compiled) and payload from `released`. The job's id names its step; `meta` is for people. Jobs are ready as of now, not as of the start of a transaction that has
 * settled hundreds of others meanwhile: scans that start behind the last job claimed would miss them for a while.
 */
const storeJobs = ({ schema: s, channel }: PluginNames, release: string, from: string): string => `
  with released as (
    ${release}),
  pushed as (
    insert into ${s}.jobs (id, state, queue, name, rank, ready_at, run_at, max_attempts, timeout_ms, keep_s, keep_failed_s,
      expires_at, meta, tags, options, payload)
    select r.id, (case when r.run_at > now() then 'scheduled' else 'pending' end)::${s}.job_state,
      r.k ->> 'queue', r.k ->> 'name', coalesce((r.k ->> 'rank')::integer, 0), (select clock_timestamp()), coalesce(r.run_at, now()),
      coalesce((r.k ->> 'max_attempts')::integer, 5), (r.k ->> 'timeout_ms')::integer,
      coalesce((r.k ->> 'keep_s')::integer, 86400), coalesce((r.k ->> 'keep_failed_s')::integer, 86400),
      now() + (r.k ->> 'expires_ms')::float8 * interval '1 millisecond',
      coalesce(r.k -> 'meta', '{}') || jsonb_build_object('workflow', jsonb_build_object('id', r.workflow, 'step', r.key)),
      (r.k ->> 'tags')::text[],
      case when r.k ? 'limit_path' then coalesce(r.k -> 'options', '{}') || jsonb_strip_nulls(jsonb_build_object('key',
          r.payload #>> array(select jsonb_array_elements_text(r.k -> 'limit_path')))) else r.k -> 'options' end,
      coalesce(r.payload, 'null')
    from (
      select q.*, now() + (q.k ->> 'delay_ms')::float8 * interval '1 millisecond' as run_at from (${from}) q) r
    returning (case when state = 'pending' then 'r ' else 'l ' end) || queue as notice)
  select array_agg(p.notice) into v_notices from (select notice from pushed group by notice) p;
  perform pg_notify('${channel}', n) from unnest(v_notices) as n;`

/** Jobs of plain steps, for many workflows at once. */
function go(names: PluginNames): string {
  const { schema: s } = names
  return `create function ${s}.workflow_go_1(p_workflows uuid[], p_steps bigint[]) returns void language plpgsql ${inner} as $$
declare
  v_jobs uuid[] := ${s}.workflow_job_ids_1(p_steps); v_notices text[];
begin
  ${storeJobs(
    names,
    `update ${s}.workflow_steps s set state = 'active', waits = 0, job_id = u.job, released_at = now()
    from unnest(p_steps, v_jobs) as u(id, job) where s.id = u.id and s.id = any(p_steps)
    returning s.job_id, s.workflow_id, s.key, s.plan`,
    `select g.job_id as id, w.id as workflow, g.key, g.plan -> 'job' as k,
        ${filled(s, "g.plan", "w.id", "w.input")} as payload
      from released g join ${s}.workflows w on w.id = g.workflow_id where w.id = any(p_workflows)`,
  )}
end
$$`
}

/** Releases items of a map while its window has room. */
function refill(names: PluginNames): string {
  const { schema: s } = names
  return `create function ${s}.workflow_refill_1(p_map bigint) returns void language plpgsql ${inner} as $$
declare
  m ${s}.workflow_steps%rowtype; w ${s}.workflows%rowtype;
  v_room integer; v_items bigint[]; v_last integer; v_jobs uuid[]; v_notices text[];
begin
  select * into m from ${s}.workflow_steps where id = p_map;
  select * into w from ${s}.workflows where id = m.workflow_id;
  v_room := least((m.plan ->> 'window')::integer - m.running, m.remaining);
  if v_room <= 0 or w.state <> 'running' or w.paused or (m.bad > 0 and m.on_failure <> 'continue') then return; end if;
  select array_agg(i.id order by i.item), max(i.item) into v_items, v_last from (
    select i.id, i.item from ${s}.workflow_steps i
    where i.workflow_id = w.id and i.step = m.step and i.item >= m.next_item and i.state = 'waiting'
    order by i.item limit v_room) i;
  v_jobs := ${s}.workflow_job_ids_1(v_items);
  ${storeJobs(
    names,
    `update ${s}.workflow_steps i set state = 'active', job_id = u.job, released_at = now()
    from unnest(v_items, v_jobs) as u(id, job) where i.id = u.id and i.id = any(v_items)
    returning i.job_id, i.key, i.input, i.item`,
    `select g.job_id as id, w.id as workflow, g.key, m.plan -> 'job' as k,
        ${filled(s, "m.plan", "w.id", "w.input", "g.input", "g.item")} as payload
      from released g`,
  )}
  update ${s}.workflow_steps set next_item = v_last + 1, remaining = remaining - cardinality(v_items),
    running = running + cardinality(v_items)
  where id = p_map;
end
$$`
}

/** Takes note of items that ended. True when the map has ended with them. */
const fold = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_fold_1(p_map bigint, p_ended integer, p_bad integer) returns boolean language plpgsql ${inner} as $$
declare
  m ${s}.workflow_steps%rowtype; v_running boolean; v_state text; v_errors jsonb;
begin
  update ${s}.workflow_steps set running = running - p_ended, bad = bad + p_bad where id = p_map and state = 'active';
  if not found then return false; end if;
  perform ${s}.workflow_refill_1(p_map);
  select * into m from ${s}.workflow_steps where id = p_map;
  select w.state = 'running' into v_running from ${s}.workflows w where w.id = m.workflow_id;
  if m.running > 0 or (m.remaining > 0 and v_running and (m.bad = 0 or m.on_failure = 'continue')) then return false; end if;
  v_state := case when m.bad > 0 and m.on_failure <> 'continue' then 'failed' when m.remaining > 0 then 'cancelled' else 'succeeded' end;
  if m.remaining > 0 then
    update ${s}.workflow_steps set state = 'skipped', finished_at = now()
    where workflow_id = m.workflow_id and step = m.step and item >= m.next_item and state = 'waiting';
  end if;
  if v_state = 'failed' then
    select i.errors into v_errors from ${s}.workflow_steps i
    where i.workflow_id = m.workflow_id and i.step = m.step and i.item >= 0 and i.state in ('failed', 'cancelled')
    order by i.item limit 1;
  end if;
  update ${s}.workflow_steps set state = v_state, finished_at = now(), errors = v_errors,
    result = case when v_state = 'succeeded' then (
      select jsonb_agg(coalesce(i.result, 'null') order by i.item) from ${s}.workflow_steps i
      where i.workflow_id = m.workflow_id and i.step = m.step and i.item >= 0) end
  where id = p_map;
  return true;
end
$$`

/** Releases one step of any kind. True when it has ended at once. */
const release = ({ schema: s, channel }: PluginNames): string[] => [
  `create function ${s}.workflow_end_step_1(p_step bigint, p_state text, p_result jsonb, p_code text, p_message text)
returns void language sql ${inner} as $$
  update ${s}.workflow_steps set state = p_state, result = p_result, finished_at = now(), wake_at = null,
    errors = case when p_code is not null then jsonb_build_array(jsonb_build_object(
      'at', now(), 'attempt', 0, 'name', 'WorkflowError', 'code', p_code, 'message', p_message)) end
  where id = p_step
$$`,
  `create function ${s}.workflow_start_map_1(p_step bigint, p_input jsonb) returns boolean language plpgsql ${inner} as $$
declare
  m ${s}.workflow_steps%rowtype; v_items jsonb; v_count integer;
begin
  select * into m from ${s}.workflow_steps where id = p_step;
  if m.total is null then
    v_items := ${s}.workflow_fill_1(m.workflow_id, m.plan -> 'items', p_input);
    if jsonb_typeof(v_items) is distinct from 'array' then
      perform ${s}.workflow_end_step_1(p_step, 'failed', null, 'MILLRACE_BAD_WORKFLOW',
        format('there is no list to map over, but %s', coalesce(jsonb_typeof(v_items), 'nothing')));
      return true;
    end if;
    v_count := jsonb_array_length(v_items);
    if v_count > (m.plan ->> 'most')::integer then
      perform ${s}.workflow_end_step_1(p_step, 'failed', null, 'MILLRACE_WORKFLOW_TOO_LARGE',
        format('a list of %s items is over the limit of %s', v_count, m.plan ->> 'most'));
      return true;
    elsif v_count = 0 then
      perform ${s}.workflow_end_step_1(p_step, 'succeeded', '[]', null, null);
      return true;
    end if;
    insert into ${s}.workflow_steps (id, workflow_id, map_id, step, item, kind, key, on_failure, undoable, input)
    select nextval('${s}.workflow_step_ids'), m.workflow_id, m.id, m.step, e.n - 1, 'item',
      m.key || '[' || (e.n - 1) || ']', m.on_failure, m.plan ? 'undo', e.item
    from jsonb_array_elements(v_items) with ordinality as e(item, n);
    update ${s}.workflow_steps set total = v_count, remaining = v_count, running = 0, bad = 0, next_item = 0 where id = p_step;
  end if;
  update ${s}.workflow_steps set state = 'active', released_at = now() where id = p_step;
  perform ${s}.workflow_refill_1(p_step);
  return false;
end
$$`,
  `create function ${s}.workflow_start_wait_1(p_step bigint, p_input jsonb) returns boolean language plpgsql ${inner} as $$
declare
  t ${s}.workflow_steps%rowtype; v_at timestamptz; v_until jsonb; v_signal bigint; v_payload jsonb;
begin
  select * into t from ${s}.workflow_steps where id = p_step;
  if t.kind = 'signal' then
    -- It may have come before anybody waited for it.
    delete from ${s}.workflow_signals g where g.id = (
      select g.id from ${s}.workflow_signals g
      where g.workflow_id = t.workflow_id and g.name = t.plan ->> 'signal' order by g.id limit 1)
    returning g.id, g.payload into v_signal, v_payload;
    if v_signal is not null then
      perform ${s}.workflow_end_step_1(p_step, 'succeeded', coalesce(v_payload, 'null'), null, null);
      return true;
    end if;
    v_at := now() + (t.plan ->> 'timeout')::float8 * interval '1 millisecond';
  elsif t.plan ? 'ms' then v_at := now() + (t.plan ->> 'ms')::float8 * interval '1 millisecond';
  else
    v_until := ${s}.workflow_fill_1(t.workflow_id, t.plan -> 'until', p_input);
    begin
      v_at := (v_until #>> '{}')::timestamptz;
      if v_at is null then raise exception 'null'; end if;
    exception when others then
      perform ${s}.workflow_end_step_1(p_step, 'failed', null, 'MILLRACE_BAD_WORKFLOW',
        format('there is no time to sleep until, but %s', coalesce(left(v_until::text, 200), 'nothing')));
      return true;
    end;
  end if;
  update ${s}.workflow_steps set state = 'active', released_at = now(), wake_at = v_at where id = p_step;
  if v_at is not null then
    -- Workers sleep until the next timer that they know of.
    perform pg_notify('${channel}', 'e ' || json_build_object('from', 'database', 'n', 0, 'name', 'workflow.timer', 'body',
      json_build_object('inMs', greatest(0, extract(epoch from v_at - clock_timestamp()) * 1000)::bigint)));
  end if;
  return false;
end
$$`,
  `create function ${s}.workflow_release_1(p_step bigint) returns boolean language plpgsql ${inner} as $$
declare
  t ${s}.workflow_steps%rowtype; w ${s}.workflows%rowtype;
begin
  select * into t from ${s}.workflow_steps where id = p_step and state = 'waiting';
  if not found then return false; end if;
  select * into w from ${s}.workflows where id = t.workflow_id;
  if w.state = 'running' and w.paused then return false; end if;
  if w.state <> 'running' or t.skips > 0 or (t.plan ? 'when' and not ${s}.workflow_test_1(w.id, t.plan -> 'when', w.input)) then
    perform ${s}.workflow_end_step_1(p_step, case w.state when 'cancelling' then 'cancelled' else 'skipped' end, null, null, null);
    return true;
  end if;
  case t.kind
  when 'job' then
    perform ${s}.workflow_go_1(array[w.id], array[t.id]);
    return false;
  when 'value' then
    perform ${s}.workflow_end_step_1(p_step, 'succeeded', ${s}.workflow_fill_1(w.id, t.plan, w.input), null, null);
    return true;
  when 'map' then return ${s}.workflow_start_map_1(p_step, w.input);
  else return ${s}.workflow_start_wait_1(p_step, w.input);
  end case;
end
$$`,
]
