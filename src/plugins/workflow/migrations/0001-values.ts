import type { PluginNames } from "../../../model/plugin.ts"

/*
 * Mappings and conditions are recorded data, worked out here, where the step is released: any worker advances any
 * workflow, whether or not it has its code. No setting on these functions: each call of one with settings costs more than
 * the function itself. Every name in them is qualified or in pg_catalog, which is always searched.
 */
export const values = ({ schema: s }: PluginNames): string[] => [
  // Ids for the jobs of steps. They say which step it is, so that a job needs no pointer to it that each claim and each
  // index would have to look at. UUIDs of version 8: the time as in version 7 and in uuids_1, one 1/4096 ms each, then the
  // byte 0x97, then the step. Unique as a step has one new job at a time.
  `create function ${s}.workflow_job_ids_1(p_steps bigint[]) returns uuid[] language sql volatile as $$
  select pg_catalog.array_agg((pg_catalog.encode(pg_catalog.int8send(
      ((c.start + u.i) >> 12 << 16) | 32768 | ((c.start + u.i) & 4095)), 'hex')
    || pg_catalog.encode(pg_catalog.int8send(-7566047373982433280 + u.step), 'hex'))::pg_catalog.uuid order by u.i)
  from (select pg_catalog.floor(extract(epoch from pg_catalog.clock_timestamp()) * 4096000)::pg_catalog.int8 as start) c,
    pg_catalog.unnest(p_steps) with ordinality as u(step, i)
$$`,
  // The step that a job's id names; null where it names none. Whether the step knows the job is for the step to say.
  `create function ${s}.workflow_step_1(p_job uuid) returns bigint language sql immutable as $$
  select case when pg_catalog.get_byte(pg_catalog.uuid_send(p_job), 6) & 240 = 128 and pg_catalog.get_byte(pg_catalog.uuid_send(p_job), 8) = 151
    then ('x' || pg_catalog.substr(p_job::text, 22, 2) || pg_catalog.substr(p_job::text, 25))::bit(56)::pg_catalog.int8 end
$$`,
  // Where a value comes from: { value }, { text: [parts] }, or { from, step?, path } with the path as text of an array.
  `create function ${s}.workflow_value_1(p_workflow uuid, p_ref jsonb, p_input jsonb, p_item jsonb, p_index integer, p_result jsonb)
returns jsonb language plpgsql as $$
declare
  v jsonb; v_text text := '';
begin
  case p_ref ->> 'from'
  when 'input' then v := p_input;
  when 'step' then
    select s.result into v from ${s}.workflow_steps s
    where s.workflow_id = p_workflow and s.step = (p_ref ->> 'step')::pg_catalog.int4 and s.item = -1;
  when 'item' then v := p_item;
  when 'index' then return pg_catalog.to_jsonb(p_index);
  when 'result' then v := p_result;
  when 'text' then
    for i in 0..pg_catalog.jsonb_array_length(p_ref -> 'parts') - 1 loop
      v_text := v_text || coalesce(
        ${s}.workflow_value_1(p_workflow, p_ref -> 'parts' -> i, p_input, p_item, p_index, p_result) #>> '{}', '');
    end loop;
    return pg_catalog.to_jsonb(v_text);
  else return p_ref -> 'value';
  end case;
  return case when p_ref ? 'path' then v #> (p_ref ->> 'path')::pg_catalog.text[] else v end;
end
$$`,
  // A template with its holes filled. What is not there leaves out its property, as undefined does in JSON.
  `create function ${s}.workflow_fill_1(p_workflow uuid, p_template jsonb, p_input jsonb, p_item jsonb default null, p_index integer default null, p_result jsonb default null)
returns jsonb language plpgsql as $$
declare
  v jsonb := p_template -> 'json'; v_holes jsonb := p_template -> 'holes'; v_hole jsonb; v_value jsonb; v_at text[];
begin
  if v_holes is null then return v; end if;
  for i in 0..pg_catalog.jsonb_array_length(v_holes) - 1 loop
    v_hole := v_holes -> i;
    case v_hole ->> 'from' -- the most frequent ones without another call
    when 'input' then v_value := p_input;
    when 'item' then v_value := p_item;
    when 'step' then
      select s.result into v_value from ${s}.workflow_steps s
      where s.workflow_id = p_workflow and s.step = (v_hole ->> 'step')::pg_catalog.int4 and s.item = -1;
    else v_value := ${s}.workflow_value_1(p_workflow, v_hole - 'path', p_input, p_item, p_index, p_result);
    end case;
    if v_hole ? 'path' then v_value := v_value #> (v_hole ->> 'path')::pg_catalog.text[]; end if;
    v_at := (v_hole ->> 'at')::pg_catalog.text[];
    if pg_catalog.cardinality(v_at) = 0 then v := v_value;
    elsif v_value is null and v_hole ? 'optional' then v := v #- v_at;
    else v := pg_catalog.jsonb_set(v, v_at, coalesce(v_value, 'null'));
    end if;
  end loop;
  return v;
end
$$`,
  `create function ${s}.workflow_test_1(p_workflow uuid, p_when jsonb, p_input jsonb)
returns boolean language plpgsql as $$
declare
  v_op text := p_when ->> 'op'; v_left jsonb; v_right jsonb; v_of jsonb := p_when -> 'of';
begin
  if v_op in ('all', 'any') then
    for i in 0..pg_catalog.jsonb_array_length(v_of) - 1 loop
      if ${s}.workflow_test_1(p_workflow, v_of -> i, p_input) = (v_op = 'any') then return v_op = 'any'; end if;
    end loop;
    return v_op = 'all';
  elsif v_op = 'not' then
    return not ${s}.workflow_test_1(p_workflow, v_of -> 0, p_input);
  end if;
  v_left := coalesce(${s}.workflow_value_1(p_workflow, p_when -> 'left', p_input, null, null, null), 'null');
  if v_op = 'exists' then return v_left <> 'null'; end if;
  v_right := coalesce(${s}.workflow_value_1(p_workflow, p_when -> 'right', p_input, null, null, null), 'null');
  if v_op = 'eq' then return v_left = v_right; end if;
  if v_op = 'ne' then return v_left <> v_right; end if;
  if v_op = 'in' then
    return pg_catalog.jsonb_typeof(v_right) = 'array'
      and exists (select 1 from pg_catalog.jsonb_array_elements(v_right) e where e = v_left);
  end if;
  -- An order there is between two numbers, and between two texts.
  if pg_catalog.jsonb_typeof(v_left) is distinct from pg_catalog.jsonb_typeof(v_right) then return false; end if;
  if pg_catalog.jsonb_typeof(v_left) = 'number' then
    return case v_op when 'lt' then (v_left)::numeric < (v_right)::numeric when 'lte' then (v_left)::numeric <= (v_right)::numeric
      when 'gt' then (v_left)::numeric > (v_right)::numeric when 'gte' then (v_left)::numeric >= (v_right)::numeric else false end;
  elsif pg_catalog.jsonb_typeof(v_left) = 'string' then
    return case v_op when 'lt' then (v_left #>> '{}') collate "C" < (v_right #>> '{}')
      when 'lte' then (v_left #>> '{}') collate "C" <= (v_right #>> '{}')
      when 'gt' then (v_left #>> '{}') collate "C" > (v_right #>> '{}')
      when 'gte' then (v_left #>> '{}') collate "C" >= (v_right #>> '{}') else false end;
  end if;
  return false;
end
$$`,
]
