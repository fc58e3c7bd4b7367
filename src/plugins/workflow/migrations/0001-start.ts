import type { PluginNames } from "../../../model/plugin.ts"
import { inner, pinned } from "./settings.ts"

/** Storing workflows of one definition, and releasing their first steps; also steps that join while a workflow runs. */
export const startFunctions = (names: PluginNames): string[] => [
  unfinished(names),
  storeSteps(names),
  start(names),
  graft(names),
]

const stepColumns =
  "step integer, key text, kind text, on_failure text, simple boolean, undoable boolean, waits integer, children integer[], loose integer[], plan jsonb"

/** Stores the steps of a plan, once per workflow. `children` are numbers in the plan, from `p_base` on. Returns the rows without dependencies. */
const storeSteps = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_store_steps_1(p_workflows uuid[], p_steps jsonb, p_base integer, p_grafted_by bigint)
returns table (id bigint, waits integer, simple boolean, step integer) language plpgsql ${inner} as $$
#variable_conflict use_column
declare
  v_count integer := jsonb_array_length(p_steps); v_rows bigint[];
begin
  select array_agg(nextval('${s}.workflow_step_ids')) into v_rows from generate_series(1, cardinality(p_workflows) * v_count);
  return query insert into ${s}.workflow_steps (id, workflow_id, step, key, kind, on_failure, simple, undoable, waits, children, loose, plan, grafted_by)
    select v_rows[(w.i - 1) * v_count + p.step - p_base + 1], w.id, p.step, p.key, p.kind, p.on_failure, p.simple, p.undoable, p.waits,
      array(select v_rows[(w.i - 1) * v_count + c - p_base + 1] from unnest(p.children) c),
      array(select v_rows[(w.i - 1) * v_count + c - p_base + 1] from unnest(p.loose) c), p.plan, p_grafted_by
    from unnest(p_workflows) with ordinality as w(id, i), jsonb_to_recordset(p_steps) as p(${stepColumns})
    returning id, waits, simple, step;
end
$$`

/** Last steps that have not ended. */
const unfinished = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_unfinished_1(p_workflow uuid) returns integer language sql ${inner} as $$
  select count(*)::integer from ${s}.workflow_steps s
  where s.workflow_id = p_workflow and s.item = -1 and s.state in ('waiting', 'active') and s.children = '{}' and s.loose = '{}'
$$`

/** Returns the ids that are new; the others were pushed before. */
const start = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_start_1(p_ids uuid[], p_name text, p_plan jsonb, p_inputs json) returns uuid[] language plpgsql ${pinned} as $$
declare
  v_new uuid[]; v_go bigint[]; v_slow bigint[]; v_count integer := jsonb_array_length(p_plan -> 'steps');
begin
  with made as (
    insert into ${s}.workflows (id, name, state, steps, unfinished, keep_s, input, output)
    select u.id, p_name, 'running', v_count, (p_plan ->> 'last')::integer, (p_plan ->> 'keep_s')::integer, u.input::jsonb, p_plan -> 'output'
    from rows from (unnest(p_ids), json_array_elements(p_inputs)) as u(id, input) order by u.id
    on conflict do nothing returning id)
  select array_agg(m.id order by m.id) into v_new from made m;
  if v_new is null then return '{}'; end if;
  select array_agg(r.id) filter (where r.simple), array_agg(r.id order by r.id) filter (where not r.simple) into v_go, v_slow
  from ${s}.workflow_store_steps_1(v_new, p_plan -> 'steps', 0, null) r where r.waits = 0;
  if v_go is not null then perform ${s}.workflow_go_1(v_new, v_go); end if;
  if v_slow is not null then perform ${s}.workflow_run_1(v_new, null, v_slow); end if;
  return v_new;
end
$$`

/**
 * Adds steps behind the one that runs as this claim of this job; those that it added at an earlier attempt go. They wait
 * for its success, so nothing of them has started.
 */
const graft = ({ schema: s }: PluginNames): string =>
  `create function ${s}.workflow_graft_1(p_job uuid, p_claims bigint, p_base integer, p_steps jsonb, p_before text[], p_most integer)
returns text language plpgsql ${pinned} as $$
declare
  v_id bigint; v_step ${s}.workflow_steps%rowtype; w ${s}.workflows%rowtype;
  v_old bigint[]; v_before bigint[]; v_roots bigint[]; v_sinks bigint[]; v_sink_steps integer[];
begin
  -- Locked, so that the claim cannot be lost between this look and the commit.
  select ${s}.workflow_step_1(j.id) into v_id from ${s}.jobs j
  where j.id = p_job and j.token is not null and j.claims = p_claims for share;
  select * into w from ${s}.workflows where id = (select x.workflow_id from ${s}.workflow_steps x where x.id = v_id) for update;
  select * into v_step from ${s}.workflow_steps where id = v_id;
  if v_step.job_id is distinct from p_job or v_step.state <> 'active' then return 'stale'; end if;
  if v_step.item >= 0 then return 'item'; end if;
  if w.state <> 'running' then return 'ending'; end if;
  if p_base <= (select max(x.step) from ${s}.workflow_steps x where x.workflow_id = w.id) then return 'moved'; end if;

  select coalesce(array_agg(x.id), '{}') into v_old from ${s}.workflow_steps x
  where x.workflow_id = w.id and x.item = -1 and x.grafted_by = v_step.id;
  if cardinality(v_old) > 0 then
    update ${s}.workflow_steps x set waits = x.waits - c.n
    from (select unnest(o.children || o.loose) as id, count(*)::integer as n from ${s}.workflow_steps o where o.id = any(v_old) group by 1) c
    where x.id = c.id and x.workflow_id = w.id and x.id <> all(v_old);
    delete from ${s}.workflow_steps x where x.id = any(v_old);
    update ${s}.workflow_steps x set children = array(select c from unnest(x.children) c where c <> all(v_old))
    where x.id = v_step.id;
  end if;
  if w.steps - cardinality(v_old) + jsonb_array_length(p_steps) > p_most then return 'large'; end if;
  select coalesce(array_agg(x.id), '{}') into v_before from ${s}.workflow_steps x
  where x.workflow_id = w.id and x.item = -1 and x.key = any(p_before) and x.state = 'waiting';
  if cardinality(v_before) <> cardinality(p_before) then raise exception using errcode = 'MR001', message = 'before'; end if;

  select array_agg(p.step) into v_sink_steps from jsonb_to_recordset(p_steps) as p(${stepColumns})
  where coalesce(cardinality(p.children), 0) + coalesce(cardinality(p.loose), 0) = 0;
  select array_agg(r.id) filter (where r.waits = 0), array_agg(r.id) filter (where r.step = any(v_sink_steps)) into v_roots, v_sinks
  from ${s}.workflow_store_steps_1(array[w.id], p_steps, p_base, v_step.id) r;
  update ${s}.workflow_steps x set waits = 1 where x.id = any(v_roots);
  update ${s}.workflow_steps x set children = x.children || v_roots where x.id = v_step.id;
  update ${s}.workflow_steps x set children = x.children || v_before where x.id = any(v_sinks);
  update ${s}.workflow_steps x set waits = x.waits + cardinality(v_sinks) where x.id = any(v_before);
  update ${s}.workflows set steps = steps - cardinality(v_old) + jsonb_array_length(p_steps), updated_at = now(),
    unfinished = ${s}.workflow_unfinished_1(id) where id = w.id;
  return 'done';
end
$$`
