import type { Names } from "../sql.ts"
import { claimPlaces } from "./0001-core.ts"

/*
 * The claim of a queue that has limits, or keyed jobs.
 *
 * 1. A limit of the whole queue: its row is locked (and changed, so that a stale snapshot is an error and not an
 *    overshoot); only then is counted what runs. A claim is the only thing that makes a job run, so what is counted under
 *    the lock can only shrink.
 * 2. News about keys is read (`limit_arrivals`) and entered in `limit_keys`, in the order of keys.
 * 3. The keys that come next are locked, passing over those that another claim holds. Under their locks it is counted
 *    again, per key; then their jobs are claimed.
 * 4. Each key is judged anew: is it worth another look, and when.
 *
 * News that commits after step 2 stays unread for the next claim, so nothing is lost between looking and judging. Nobody
 * who holds the lock of a key waits for anything, so there is no circle to wait in.
 */

/** What starting a job takes from a rate; never more than the rate can hold. */
const weight = (job: string, most: string): string =>
  `least(coalesce((${job}.options ->> 'weight')::float8, 1), ${most})`

const keyedHead = `r.queue = p_queue and (r.options ->> 'key') = k.key and r.state = 'pending' and (r.options ->> 'key') is not null
        order by r.rank, r.created_at, r.id limit 1`

const tokensOf = (s: string, tokens: string, since: string, rate: string): string =>
  `${s}.limit_left(${tokens}, ${since}, v_at, (${rate} ->> 'allowed')::float8, (${rate} ->> 'windowMs')::float8, (${rate} ->> 'burst')::float8)`

/** Milliseconds until a rate that has \`left\` allows \`need\`. */
const waitFor = (need: string, left: string, since: string, rate: string): string =>
  `greatest(1, case when ${rate} ->> 'burst' is null
        then extract(epoch from ${since} - v_at)::float8 * 1000 + (${rate} ->> 'windowMs')::float8
        else (${need} - ${left}) * (${rate} ->> 'windowMs')::float8 / (${rate} ->> 'allowed')::float8 end)`

/** When a window opened, or when a bucket was looked at last. */
const sinceOf = (since: string, rate: string): string =>
  `case when ${rate} ->> 'burst' is null and ${since} > v_at - (${rate} ->> 'windowMs')::float8 * interval '1 millisecond'
        then ${since} else v_at end`

const most = (rate: string): string => `coalesce((${rate} ->> 'burst')::float8, (${rate} ->> 'allowed')::float8, 1e9)`

export function claimLimited({ schema: s }: Names): string {
  return `create function ${s}.claim_limited_1(p_worker uuid, p_queue text, p_token uuid, p_limit integer, p_suspect boolean,
  p_except text[], p_limits jsonb)
returns table (id uuid, name text, attempts integer, crashes integer, max_attempts integer, claims bigint,
  timeout_ms integer, rank integer, ready float8, payload text, rest text)
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
  set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_at timestamptz;
  v_limit integer := (p_limits ->> 'concurrency')::integer;
  v_rate jsonb := p_limits -> 'rate';
  v_ordered text := p_limits ->> 'ordered';
  v_key_limit integer := case when v_ordered is null then (p_limits ->> 'keyConcurrency')::integer else 1 end;
  v_key_rate jsonb := p_limits -> 'keyRate';
  v_fair boolean := coalesce((p_limits ->> 'fair')::boolean, false);
  v_left integer := p_limit; v_share integer; v_rows integer; v_claimed integer := 0;
  v_tokens float8; v_since timestamptz; v_budget float8; v_spent float8; v_before float8;
  v_arrived text[]; v_ranks integer[]; v_ats timestamptz[]; v_freed text[]; v_stopped text[]; v_stoppers uuid[];
  v_plain integer; v_keyed integer; v_keys text[]; v_per integer;
  v_wait float8; v_more boolean := false;
begin
  if v_limit is not null or v_rate is not null then
    insert into ${s}.limit_queues (queue) select p_queue
    where not exists (select 1 from ${s}.limit_queues l where l.queue = p_queue) on conflict do nothing;
    update ${s}.limit_queues l set claims = l.claims + 1 where l.queue = p_queue
    returning l.tokens, l.tokens_at into v_tokens, v_since;
  end if;
  v_at := clock_timestamp();
  if v_limit is not null then
    select v_limit - count(*) into v_rows from ${s}.workers w cross join lateral (
      select 1 from ${s}.jobs j where j.worker = w.incarnation and j.state = 'running' and j.queue = p_queue) r;
    v_left := least(v_left, v_rows);
  end if;
  if v_rate is not null then
    v_budget := ${tokensOf(s, "v_tokens", "v_since", "v_rate")};
    if v_budget < 1 then
      v_left := 0;
      v_wait := ${waitFor("1", "v_budget", "v_since", "v_rate")};
    end if;
  end if;

  if v_left > 0 then
    ${readNews(s)}
    select r.rank into v_plain from ${s}.jobs r
    where r.queue = p_queue and r.state = 'pending' and r.crashes < 2 and (r.options ->> 'key') is null
    order by r.rank, r.ready_at, r.id limit 1;
    if p_suspect then
      v_share := 1;
      ${claimPlain(s, ">= 2")}
    end if;
    select k.rank into v_keyed from ${s}.limit_keys k where k.queue = p_queue and k.ready
    order by k.rank, k.turn, k.key limit 1;
    -- The better rank first; with equal ones, half of what there is.
    v_share := case when v_keyed is null or v_plain < v_keyed then v_left when v_plain > v_keyed then 0
      when v_left = 1 then extract(microseconds from v_at)::integer % 2 else (v_left + 1) / 2 end;
    if v_plain is not null and v_share > 0 then
      ${claimPlain(s, "< 2")}
    end if;
    if v_keyed is not null and v_left > 0 and coalesce(v_budget, 1) >= 1 then
      ${claimKeyed(s)}
    end if;
    if v_plain is not null and v_keyed is not null and v_left > 0 then
      v_share := v_left;
      ${claimPlain(s, "< 2")}
    end if;
  end if;

  if v_rate is not null then
    if v_claimed > 0 then -- a window opens with a job, not with a look
      update ${s}.limit_queues l set tokens = v_budget, tokens_at = ${sinceOf("v_since", "v_rate")} where l.queue = p_queue
      returning l.tokens_at into v_since;
    end if;
    -- Empty, or not enough for the next one's weight: worth a look when there is one more.
    if v_budget < 1 or v_claimed = 0 and v_budget < ${most("v_rate")} and coalesce(v_plain, v_keyed) is not null then
      v_wait := ${waitFor("greatest(1, v_budget + 1)", "v_budget", "v_since", "v_rate")};
    end if;
    if v_budget < 1 then
      v_left := 0;
    end if;
  end if;
  if v_left > 0 then
    -- Keys that somebody else holds at this moment, or whose next job is not for this worker.
    v_more := exists (select 1 from ${s}.limit_keys k where k.queue = p_queue and k.ready);
    select least(v_wait, extract(epoch from min(k.free_at) - v_at) * 1000) into v_wait from ${s}.limit_keys k
    where k.queue = p_queue and k.free_at is not null;
  end if;
  return query select null::uuid, null::text, null::integer, null::integer, null::integer, null::bigint, null::integer,
    null::integer, null::float8, null::text, json_build_object('more', v_more and v_claimed > 0,
      'waitMs', case when v_more and v_claimed = 0 then least(v_wait, 100) else v_wait end)::text;
end
$$`
}

/** Enters the news in the keys, in the order of keys. */
const readNews = (s: string): string => `
    select array_agg(n.key order by n.key) filter (where n.rank is not null),
      array_agg(n.rank order by n.key) filter (where n.rank is not null),
      array_agg(n.at order by n.key) filter (where n.rank is not null),
      array_agg(n.key order by n.key) filter (where n.freed),
      array_agg(n.key order by n.key) filter (where n.stopper is not null),
      array_agg(n.stopper order by n.key) filter (where n.stopper is not null)
    into v_arrived, v_ranks, v_ats, v_freed, v_stopped, v_stoppers
    from ${s}.take_arrivals_1(p_queue, 5000) n;
    perform 1 from ${s}.limit_keys k where k.queue = p_queue and k.key = any(v_arrived || v_freed || v_stopped)
    order by k.key for no key update;
    if v_stopped is not null then
      insert into ${s}.limit_keys as k (queue, key, rank, turn, ready, stopped_by, stopped_at)
      select p_queue, u.key, 0, v_at, false, u.job, v_at from unnest(v_stopped, v_stoppers) as u(key, job) order by u.key
      on conflict (queue, key) do update set ready = false, stopped_by = excluded.stopped_by, stopped_at = v_at;
    end if;
    if v_arrived is not null then
      insert into ${s}.limit_keys as k (queue, key, rank, turn, ready)
      select p_queue, u.key, u.rank, case when v_fair then v_at else u.at end, true
      from unnest(v_arrived, v_ranks, v_ats) as u(key, rank, at) order by u.key
      on conflict (queue, key) do update set ready = true, rank = least(k.rank, excluded.rank),
        turn = case when v_fair then k.turn else least(k.turn, excluded.turn) end;
    end if;
    if v_freed is not null then
      update ${s}.limit_keys k set ready = true where k.queue = p_queue and k.key = any(v_freed) and not k.ready;
    end if;
    update ${s}.limit_keys k set ready = true, free_at = null where k.queue = p_queue and k.ctid = any(array(
      select f.ctid from ${s}.limit_keys f where f.queue = p_queue and f.free_at <= v_at
      order by f.free_at limit 1000 for update skip locked));`

/** Jobs without a key, up to v_share of them. */
const claimPlain = (s: string, crashes: string): string => `
      if v_rate is null then
        return query ${claimPlaces(
          s,
          `select r.ctid from ${s}.jobs r
            where r.queue = p_queue and r.state = 'pending' and r.crashes ${crashes} and (r.options ->> 'key') is null
              and (p_except is null or r.name <> all(p_except))
            order by r.rank, r.ready_at, r.id limit v_share for update skip locked`,
          "v_at",
        )};
      else
        return query
        with found as materialized (
          select r.ctid as place, r.rank, r.ready_at, r.id, ${weight("r", most("v_rate"))} as weight
          from ${s}.jobs r
          where r.queue = p_queue and r.state = 'pending' and r.crashes ${crashes} and (r.options ->> 'key') is null
            and (p_except is null or r.name <> all(p_except))
          order by r.rank, r.ready_at, r.id limit v_share for update skip locked),
        summed as (
          select f.place, sum(f.weight) over (order by f.rank, f.ready_at, f.id) as spent from found f)
        ${claimPlaces(s, "select m.place from summed m where v_budget is null or m.spent <= v_budget", "v_at")};
      end if;
      get diagnostics v_rows = row_count;
      ${spend(s)}`

/** What was claimed in the last step is taken from what is left. */
const spend = (s: string): string => `v_claimed := v_claimed + v_rows; v_left := v_left - v_rows;
      if v_rate is not null and v_rows > 0 then
        select sum(${weight("j", most("v_rate"))}) into v_spent from ${s}.jobs j
        where j.worker = p_worker and j.state = 'running' and j.queue = p_queue and j.token = p_token;
        v_budget := v_budget - v_spent + coalesce(v_before, 0);
        v_before := v_spent;
      end if;`

/** Jobs with keys, up to v_left of them. */
const claimKeyed = (s: string): string => `
      select array_agg(p.key) into v_keys from (
        select k.key from ${s}.limit_keys k where k.queue = p_queue and k.ready
        order by k.rank, k.turn, k.key limit least(v_left, 500) for update skip locked) p;
    end if;
    if v_keys is not null then
      v_per := case when v_fair then ceil(2.0 * v_left / cardinality(v_keys)) else v_left end;
      return query
        with picked as materialized (
          select k.key, k.turn, k.stopped_by,
            case when v_key_limit is null then v_left else v_key_limit - (
              select count(*) from ${s}.jobs j
              where j.queue = p_queue and (j.options ->> 'key') = k.key and j.state = 'running' and (j.options ->> 'key') is not null) end
            as room,
            case when v_key_rate is not null then ${tokensOf(s, "k.tokens", "k.tokens_at", "v_key_rate")} end as budget
          from ${s}.limit_keys k
          where k.queue = p_queue and k.key = any(v_keys)
            and (v_ordered is null or v_ordered = 'skip' or not ${waits(s)})
            and (v_ordered is distinct from 'stop' or not exists (
              select 1 from ${s}.limit_arrivals a where a.queue = p_queue and a.key = k.key and a.stops))),
        found as materialized (
          select p.key, p.turn, p.budget, f.* from picked p cross join lateral (
            select r.ctid as place, r.rank, r.created_at, r.id, r.crashes, ${weight("r", most("v_key_rate"))} as weight,
              ${weight("r", most("v_rate"))} as queue_weight
            from ${s}.jobs r
            where r.queue = p_queue and (r.options ->> 'key') = p.key and r.state = 'pending' and (r.options ->> 'key') is not null
              and (r.crashes < 2 or p_suspect) and (p_except is null or r.name <> all(p_except))
              and (p.stopped_by is null or r.id = p.stopped_by or v_ordered is distinct from 'stop')
              -- In order means the first one, or none.
              and (v_ordered is null or r.id = (
                select h.id from ${s}.jobs h
                where h.queue = p_queue and (h.options ->> 'key') = p.key and h.state = 'pending' and (h.options ->> 'key') is not null
                order by h.rank, h.created_at, h.id limit 1))
            order by r.rank, r.created_at, r.id limit greatest(0, least(p.room, v_per)) for update skip locked) f
          where p.room > 0 and (p.budget is null or p.budget >= 1)),
        counted as (
          select f.*, row_number() over key as nth, sum(f.weight) over key as key_spent,
            count(*) filter (where f.crashes >= 2) over (order by f.rank, f.created_at, f.id) as suspects
          from found f window key as (partition by f.key order by f.rank, f.created_at, f.id)),
        ordered as (
          select c.place, row_number() over line as position, sum(c.queue_weight) over line as spent
          from counted c
          where (c.budget is null or c.key_spent <= c.budget) and (c.crashes < 2 or c.suspects = 1)
          window line as (order by c.rank, case when v_fair then c.nth end, case when v_fair then c.turn end, c.created_at, c.id))
        ${claimPlaces(
          s,
          "select o.place from ordered o where o.position <= v_left and (v_budget is null or o.spent <= v_budget)",
          "v_at",
        )};
      get diagnostics v_rows = row_count;
      ${spend(s)}
      ${judge(s)}`

/** Whether a job of an ordered key is between two attempts: those behind it wait. */
const waits = (s: string): string => `exists (
              select 1 from ${s}.jobs b
              where b.queue = p_queue and (b.options ->> 'key') = k.key and (b.options ->> 'key') is not null and b.claims > 0
                and b.state in ('retrying', 'scheduled', 'blocked'))`

/** What is to become of the keys that were looked at. */
const judge = (s: string): string => `
      with seen as materialized (
        select k.key, h.rank, h.created_at, h.weight, c.taken,
          case when v_key_limit is null then true else v_key_limit > (
            select count(*) from ${s}.jobs j
            where j.queue = p_queue and (j.options ->> 'key') = k.key and j.state = 'running' and (j.options ->> 'key') is not null) end
            and (v_ordered is null or v_ordered = 'skip' or not ${waits(s)}) as room,
          case when v_key_rate is not null then ${tokensOf(s, "k.tokens", "k.tokens_at", "v_key_rate")} - coalesce(c.spent, 0) end as tokens,
          case when v_key_rate is not null then ${sinceOf("k.tokens_at", "v_key_rate")} end as since
        from ${s}.limit_keys k
        left join lateral (
          select r.rank, r.created_at, ${weight("r", most("v_key_rate"))} as weight from ${s}.jobs r where ${keyedHead}) h on true
        left join lateral (
          select count(*) as taken, sum(${weight("j", most("v_key_rate"))}) as spent from ${s}.jobs j
          where j.queue = p_queue and (j.options ->> 'key') = k.key and j.state = 'running' and (j.options ->> 'key') is not null
            and j.token = p_token) c on true
        where k.queue = p_queue and k.key = any(v_keys)),
      judged as materialized (
        select n.*, n.tokens < n.weight as dry,
          n.rank is null and (v_key_rate is null or n.tokens >= ${most("v_key_rate")}) as idle
        from seen n),
      gone as (
        delete from ${s}.limit_keys k using judged d
        where k.queue = p_queue and k.key = d.key and d.idle and k.stopped_by is null and k.key = any(v_keys))
      update ${s}.limit_keys k set rank = coalesce(d.rank, k.rank),
        turn = case when v_fair or d.taken = 0 and d.room and d.dry is not true then clock_timestamp() else coalesce(d.created_at, k.turn) end,
        ready = d.rank is not null and d.room and d.dry is not true and k.stopped_by is null,
        stopped_by = case when d.taken > 0 then null else k.stopped_by end,
        tokens = case when d.taken > 0 then d.tokens else k.tokens end,
        tokens_at = case when d.taken > 0 then d.since else k.tokens_at end,
        free_at = case
          when d.dry then v_at + ${waitFor("d.weight", "d.tokens", "d.since", "v_key_rate")} * interval '1 millisecond'
          when d.rank is null and v_key_rate is not null then
            v_at + ${waitFor(most("v_key_rate"), "d.tokens", "d.since", "v_key_rate")} * interval '1 millisecond'
        end
      from judged d
      where k.queue = p_queue and k.key = d.key and k.key = any(v_keys) and not (d.idle and k.stopped_by is null);`

/** Takes unread news, and sums it up by key. */
export const takeArrivals = ({
  schema: s,
}: Names): string => `create function ${s}.take_arrivals_1(p_queue text, p_most integer)
returns table (key text, rank integer, at timestamptz, freed boolean, stopper uuid) language plpgsql
  set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
begin
  return query
    with taken as (
      delete from ${s}.limit_arrivals a where a.queue = p_queue and a.ctid = any(array(
        select b.ctid from ${s}.limit_arrivals b where b.queue = p_queue limit p_most for update skip locked))
      returning a.key, a.rank, a.at, a.job, a.stops)
    select t.key, min(t.rank), min(t.at), bool_or(t.rank is null and not t.stops),
      (array_agg(t.job) filter (where t.stops))[1]
    from taken t group by t.key;
end
$$`
