import type { Migration } from "../migration.ts"
import type { Names } from "../sql.ts"

/*
 * What the metrics plugin keeps. The plugin is built in, so its tables come with `migrate()`; they are a component of
 * their own, with a version of its own, since no job depends on them.
 *
 * A point is what one series gathered in one step of time: written again and again while the step lasts, in place (no
 * index covers what changes). Every write goes to all four steps at once, so that nothing has to be rolled up later by
 * somebody who may not be there.
 */
export const metrics: Migration = {
  version: 1,
  up: (names) => [...tables(names), write(names), depth(names), ...privileges(names)],
  down: ({ schema: s }) => [
    ...signatures.map((name) => `drop function ${s}.${name}`),
    ...["metric_points", "metric_series", "metric_writers"].map((name) => `drop table ${s}.${name}`),
  ],
}

const signatures = ["metrics_depth_1(text[], integer)", "metrics_write_1(uuid, bigint, text, float8, json)"]

const tables = ({ schema: s }: Names): string[] => [
  `create table ${s}.metric_series (
  id         bigint generated always as identity primary key,
  worker     text not null,                          -- id of the worker; empty: of the whole installation
  name       text not null,
  kind       text not null check (kind in ('counter', 'gauge', 'histogram')),
  labels     jsonb not null,
  created_at timestamptz not null default now()
)`,
  `create unique index metric_series_key on ${s}.metric_series (name, worker, labels)`,
  `create table ${s}.metric_points (
  series   bigint not null references ${s}.metric_series on delete cascade,
  step     integer not null,                         -- seconds: 60, 300, 3600 or 86400
  at       timestamptz not null,                     -- its beginning
  n        bigint not null,                          -- values recorded; of a counter, writes
  total    float8 not null,                          -- their sum
  low      float8,
  high     float8,
  last     float8,
  estimate boolean not null default false,           -- some value in it was an estimate
  buckets  bigint[],                                 -- of a histogram: number, count, number, count, …
  primary key (series, step, at)
) with (fillfactor = 70)`,
  `create index metric_points_age on ${s}.metric_points (step, at)`,
  `create table ${s}.metric_writers (
  writer     uuid primary key,                       -- one per worker and start
  seq        bigint not null,                        -- of its newest write: one that is sent twice counts once
  written_at timestamptz not null default now()
)`,
]

const pinned = `set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
  set plan_cache_mode = force_generic_plan`

/** Two histograms in one; here and not in a function, which would be planned anew for each row. */
const added = (a: string, b: string): string => `(
      select array_agg(v.v order by x.bucket, v.place) from (
        select u.bucket, sum(u.n)::bigint as n from (
          select ${a}[k] as bucket, ${a}[k + 1] as n from generate_series(1, cardinality(${a}), 2) k
          union all select ${b}[k], ${b}[k + 1] from generate_series(1, cardinality(${b}), 2) k) u
        group by u.bucket) x,
      lateral (values (1, x.bucket), (2, x.n)) as v(place, v))`

/**
 * Adds what one writer gathered, once: a write whose answer was lost is sent again under its number. It belongs to the
 * time at which it was gathered, \`p_age_ms\` ago.
 *
 * Counters and histograms of hours and days are kept for all workers together, so that what is kept for long does not
 * grow with every restart. Points are written in one order by everybody, so writers wait for each other and never in a circle.
 */
const write = ({ schema: s }: Names): string =>
  `create function ${s}.metrics_write_1(p_writer uuid, p_seq bigint, p_worker text, p_age_ms float8, p_points json)
returns boolean language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_at timestamptz := now() - p_age_ms * interval '1 millisecond';
begin
  insert into ${s}.metric_writers as w (writer, seq) values (p_writer, p_seq)
  on conflict (writer) do update set seq = excluded.seq, written_at = now() where w.seq < excluded.seq;
  if not found then return false; end if;

  with wanted as (
    select distinct x.name, x.kind, x.labels, k.worker
    from json_to_recordset(p_points) as x(name text, kind text, labels jsonb, shared boolean),
      lateral (values (case when x.shared then '' else p_worker end), (case when x.kind = 'gauge' and not x.shared then p_worker else '' end))
        as k(worker))
  insert into ${s}.metric_series (name, kind, labels, worker)
  select w.name, w.kind, w.labels, w.worker from wanted w
  where not exists (select 1 from ${s}.metric_series m where m.name = w.name and m.worker = w.worker and m.labels = w.labels)
  order by w.name, w.worker, w.labels
  on conflict (name, worker, labels) do nothing;

  insert into ${s}.metric_points as p (series, step, at, n, total, low, high, last, estimate, buckets)
  select m.id, t.step, to_timestamp(floor(extract(epoch from v_at) / t.step) * t.step), x.n, x.total, x.low, x.high, x.last,
    x.estimate, x.buckets
  from json_to_recordset(p_points) as x(name text, kind text, labels jsonb, shared boolean, n bigint, total float8,
      low float8, high float8, last float8, estimate boolean, buckets bigint[])
    cross join unnest(array[60, 300, 3600, 86400]) as t(step)
    join ${s}.metric_series m on m.name = x.name and m.labels = x.labels
      and m.worker = case when x.shared or (t.step >= 3600 and x.kind <> 'gauge') then '' else p_worker end
  where m.kind = x.kind
  order by m.id, t.step
  on conflict (series, step, at) do update set n = p.n + excluded.n, total = p.total + excluded.total,
    low = least(p.low, excluded.low), high = greatest(p.high, excluded.high), last = excluded.last,
    estimate = p.estimate or excluded.estimate,
    buckets = case when excluded.buckets is not null then ${added("p.buckets", "excluded.buckets")} end;
  return true;
end
$$`

/**
 * How many jobs each queue holds in each state, counted one by one up to \`p_most\`, and when its oldest ready job became
 * ready. Reads indexes alone, and never more of them than the bound.
 *
 * Scheduled and retrying jobs share an index, so twice as many are read of it; running and blocked ones are indexed over
 * all queues. Each is read in the order of its index, so that no other index can seem cheaper without statistics. The oldest is the oldest of each priority's first; of more than a thousand priorities, of the
 * first thousand. Of jobs with limit keys it is the oldest among those counted.
 */
const depth = ({ schema: s }: Names): string =>
  `create function ${s}.metrics_depth_1(p_queues text[], p_most integer)
returns table (queue text, state text, count bigint, exact boolean, oldest float8) language plpgsql stable ${pinned}
  set enable_sort = off as $$
#variable_conflict use_variable
declare
  v_queue text; v_ready bigint; v_suspect bigint; v_keyed bigint; v_scheduled bigint; v_retrying bigint; v_oldest timestamptz;
  v_all bigint := least(p_most::bigint * greatest(cardinality(p_queues), 1), 200000);
begin
  foreach v_queue in array p_queues loop
    select count(*) into v_ready from (select 1 from ${s}.jobs j
      where j.queue = v_queue and j.state = 'pending' and j.crashes < 2 and (j.options ->> 'key') is null
      order by j.rank, j.ready_at, j.id limit p_most + 1) c;
    select count(*), min(c.ready_at) into v_suspect, v_oldest from (select j.ready_at from ${s}.jobs j
      where j.queue = v_queue and j.state = 'pending' and j.crashes >= 2 and (j.options ->> 'key') is null
      order by j.rank, j.ready_at, j.id limit p_most + 1) c;
    select count(*), least(v_oldest, min(c.ready_at)) into v_keyed, v_oldest from (select j.ready_at from ${s}.jobs j
      where j.queue = v_queue and j.state = 'pending' and (j.options ->> 'key') is not null
      order by j.options ->> 'key', j.rank, j.created_at, j.id limit p_most + 1) c;
    if v_ready > 0 then
      with recursive firsts as (
        (select r.rank, r.ready_at from ${s}.jobs r where r.queue = v_queue and r.state = 'pending' and r.crashes < 2
            and (r.options ->> 'key') is null order by r.rank, r.ready_at, r.id limit 1)
        union all
        select n.rank, n.ready_at from firsts f, lateral (
          select r.rank, r.ready_at from ${s}.jobs r where r.queue = v_queue and r.state = 'pending' and r.crashes < 2
            and (r.options ->> 'key') is null and r.rank > f.rank order by r.rank, r.ready_at, r.id limit 1) n)
      select least(v_oldest, min(f.ready_at)) into v_oldest from (select f.ready_at from firsts f limit 1000) f;
    end if;
    queue := v_queue; state := 'pending'; count := v_ready + v_suspect + v_keyed;
    exact := greatest(v_ready, v_suspect, v_keyed) <= p_most;
    oldest := case when v_oldest is not null then greatest(0, extract(epoch from clock_timestamp() - v_oldest)) end;
    return next;
    oldest := null;
    select count(*) filter (where c.state = 'scheduled'), count(*) filter (where c.state = 'retrying')
    into v_scheduled, v_retrying from (select j.state from ${s}.jobs j
      where j.queue = v_queue and j.state in ('scheduled', 'retrying')
      order by j.run_at, j.id limit 2 * p_most + 1) c;
    exact := v_scheduled + v_retrying <= 2 * p_most;
    state := 'scheduled'; count := v_scheduled; return next;
    state := 'retrying'; count := v_retrying; return next;
  end loop;
  return query
    with seen as materialized (select j.queue from ${s}.jobs j where j.state = 'running' order by j.worker, j.queue limit v_all + 1),
    whole as (select count(*) <= v_all as yes from seen)
    select q, 'running', (select count(*) from seen where seen.queue = q), w.yes, null::float8
    from unnest(p_queues) q, whole w;
  return query
    with seen as materialized (select j.queue from ${s}.jobs j where j.state = 'blocked' order by j.name limit v_all + 1),
    whole as (select count(*) <= v_all as yes from seen)
    select q, 'blocked', (select count(*) from seen where seen.queue = q), w.yes, null::float8
    from unnest(p_queues) q, whole w;
end
$$`

/** Functions may be executed by everybody unless somebody says otherwise. */
const privileges = ({ schema: s }: Names): string[] =>
  signatures.map((name) => `revoke execute on function ${s}.${name} from public`)
