import type { Names } from "../sql.ts"
import { insertJobs, kinds, pinned } from "./0001-core.ts"

/*
 * Keys that outlive their job's row, or end before it: unique within a period after the finish, only while waiting, and
 * throttles. Each is a row of `unique_keys`; its primary key is what makes it exact. A live row is never locked by a push
 * that finds it taken (`on conflict do nothing`), so a start or a settlement, which changes it, waits for nobody.
 */

export const uniqueUp = (names: Names): string[] => [...table(names), moved(names), pushUnique(names)]

export const uniqueDown = ({ schema: s }: Names): string[] => [
  `drop function ${s}.unique_moved(jsonb, uuid, boolean, boolean, boolean)`,
  `drop function ${s}.push_unique_2(uuid[], integer[], json, json, boolean)`,
  `drop table ${s}.unique_keys`,
]

function table({ schema: s }: Names): string[] {
  return [
    `create table ${s}.unique_keys (
  key   text primary key,
  job   uuid not null,
  queue text not null,
  name  text not null,
  until timestamptz                                  -- null: as long as its job has not started, or not finished
)`,
    `create index unique_keys_until on ${s}.unique_keys (until) where until is not null`,
  ]
}

/** A start or an end of a job is what frees its key, now or after a period, in the same transaction. */
function moved({ schema: s }: Names): string {
  return `create function ${s}.unique_moved(p_unique jsonb, p_job uuid, p_starts boolean, p_started boolean, p_ran boolean)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_period float8 := (p_unique ->> 'periodMs')::float8;
begin
  if p_starts <> (p_unique ->> 'from' = 'start') and (p_starts or p_started) then
    return;
  elsif v_period > 0 and (p_starts or p_ran) then
    update ${s}.unique_keys u set until = clock_timestamp() + v_period * interval '1 millisecond'
    where u.key = p_unique ->> 'key' and u.job = p_job;
  else
    delete from ${s}.unique_keys u where u.key = p_unique ->> 'key' and u.job = p_job;
  end if;
end
$$`
}

/**
 * Pushes whose keys live in `unique_keys`, or that change the job which holds their key; one after the other, in the
 * order of keys. Returns what \`push_unique_1\` returns.
 */
function pushUnique({ schema: s }: Names): string {
  return `create function ${s}.push_unique_2(p_all uuid[], p_kind_of integer[], p_payloads json, p_kinds json, p_resend boolean)
returns table (id uuid, existing uuid, queue text, name text) language plpgsql ${pinned} set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
  v record; v_holder uuid; v_queue text; v_name text; p_ids uuid[]; p_kind integer[]; p_payloads_of json; v_rows integer;
begin
  for v in
    select r.id, r.kind, r.payload, k.queue, k.name, k.unique_key, o.conflict, o.max_wait_ms, o.options -> 'unique' as reserved
    from rows from (unnest(p_all, p_kind_of), json_array_elements(p_payloads)) as r(id, kind, payload)
      join ${kinds} on k.n = r.kind
      join json_to_recordset(p_kinds) as o(n integer, conflict text, max_wait_ms float8, options jsonb) on o.n = r.kind
    order by coalesce(o.options -> 'unique' ->> 'key', k.unique_key), r.id
  loop
    v_holder := null; v_queue := v.queue; v_name := v.name;
    if p_resend and exists (select 1 from ${s}.jobs_history h where h.id = v.id) then
      return query select v.id, v.id, v.queue, v.name;
      continue;
    end if;
    if v.reserved is not null then
      delete from ${s}.unique_keys u where u.key = v.reserved ->> 'key' and u.until <= now();
      insert into ${s}.unique_keys (key, job, queue, name) values (v.reserved ->> 'key', v.id, v.queue, v.name)
      on conflict do nothing;
      get diagnostics v_rows = row_count;
      if v_rows = 0 then
        select u.job, u.queue, u.name into v_holder, v_queue, v_name from ${s}.unique_keys u
        where u.key = v.reserved ->> 'key';
        if not found then -- it ended in between: the caller sends it again
          return query select v.id, null::uuid, v.queue, v.name;
          continue;
        end if;
      end if;
    end if;
    if v_holder is null or v_holder = v.id then
      p_ids := array[v.id]; p_kind := array[v.kind]; p_payloads_of := json_build_array(v.payload);
      ${insertJobs(s, "on conflict do nothing").replaceAll("p_payloads", "p_payloads_of")};
      get diagnostics v_rows = row_count;
      if v_rows > 0 then
        return query select v.id, v.id, v.queue, v.name;
        continue;
      end if;
      select j.id, j.queue, j.name into v_holder, v_queue, v_name from ${s}.jobs j
      where v.unique_key is not null and j.unique_key = v.unique_key;
      if not found then
        select j.id, j.queue, j.name into v_holder, v_queue, v_name from ${s}.jobs j where j.id = v.id;
      end if;
      if v_holder is distinct from v.id and v.reserved is not null then
        delete from ${s}.unique_keys u where u.key = v.reserved ->> 'key' and u.job = v.id;
      end if;
    end if;
    if v.conflict is not null and v_holder <> v.id then
      update ${s}.jobs j set
        payload = case when v.conflict = 'replace' then v.payload::jsonb else j.payload end,
        rank = case when v.conflict = 'replace' then coalesce(k.rank, 0) else j.rank end,
        max_attempts = case when v.conflict = 'replace' then coalesce(k.max_attempts, 5) else j.max_attempts end,
        timeout_ms = case when v.conflict = 'replace' then k.timeout_ms else j.timeout_ms end,
        meta = case when v.conflict = 'replace' then k.meta else j.meta end,
        tags = case when v.conflict = 'replace' then k.tags else j.tags end,
        run_at = coalesce(m.run_at, j.run_at),
        state = (case when m.run_at > now() then 'scheduled' when m.run_at <= now() then 'pending' else j.state::text end)::${s}.job_state,
        blocked_by = case when m.run_at is null then j.blocked_by end,
        ready_at = case when m.run_at is null and coalesce(k.rank, 0) = j.rank then j.ready_at else now() end
      from ${kinds} left join lateral (
        select least(coalesce(k.run_at, now() + k.delay_ms * interval '1 millisecond'),
          (select h.created_at from ${s}.jobs h where h.id = v_holder) + v.max_wait_ms * interval '1 millisecond') as run_at
        where coalesce(k.run_at::text, k.delay_ms::text) is not null) m on true -- none: the time stays
      where k.n = v.kind and j.id = v_holder and j.state <> 'running';
    end if;
    return query select v.id, v_holder, coalesce(v_queue, v.queue), coalesce(v_name, v.name);
  end loop;
end
$$`
}
