import type { Names } from "../sql.ts"

/*
 * Lines that handlers write. A worker sends them in chunks, one row each; a row per job holds what numbering and bounds
 * need, so that no flush has to count what is there. Nothing here is touched by a job that writes no line.
 *
 * Lines stay as long as their job's record. The history goes by dropping partitions, which tells nobody which jobs went,
 * so a job with lines is looked at when its record may be gone: a day after its first line, then when its partition ends.
 * That is two looks for most jobs, by index, however many jobs there are.
 */

export function logTables({ schema: s }: Names): string[] {
  return [
    `create table ${s}.job_logs (
  job_id   uuid primary key,
  lines    integer not null,                         -- that are kept
  bytes    integer not null,
  last_n   bigint not null,                          -- number of the newest line
  token    uuid not null,                            -- the claim that wrote last,
  batch    bigint not null,                          -- and the number of what it sent: a batch sent twice is stored once
  check_at timestamptz not null default now() + interval '1 day'
) with (fillfactor = 70)`,
    `create index job_logs_check on ${s}.job_logs (check_at)`,
    `create table ${s}.job_log_chunks (
  job_id  uuid not null,
  n       bigint not null,                           -- number of its first line, from 1; gaps are lines that were dropped
  count   integer not null check (count between 1 and 1000),
  bytes   integer not null,
  attempt integer not null,
  early   boolean not null,                          -- among the job's first lines, which are never dropped
  at      timestamptz not null default clock_timestamp(),
  lines   jsonb not null,                            -- [{ a: ms before "at", l: level, m: message, f: fields }]
  primary key (job_id, n)
)`,
  ]
}

export const logFunctions = (names: Names): string[] => [log(names), cleanLogs(names)]

const pinned = `set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
  set plan_cache_mode = force_generic_plan`

const mostLines = 10_000
const mostBytes = 1_048_576
const earlyLines = 1_000
const earlyBytes = 131_072

/**
 * Stores lines of claims, named by their (id, token) pairs, and returns the ids of those that are valid. A claim that has
 * finished its job is still the owner of its record, so what its handler wrote after its own commit is taken.
 *
 * The rows of the jobs are locked, so a settlement of the same job waits, and finds the lines before its end.
 *
 * Over the bounds, chunks go from the oldest that is not early; a tenth at a time, so that it is not done at each flush.
 */
function log({ schema: s }: Names): string {
  return `create function ${s}.log_1(p_queue text, p_ids uuid[], p_tokens uuid[], p_chunks json)
returns setof uuid language plpgsql ${pinned} as $$
#variable_conflict use_column
declare
  v_valid uuid[]; v_head record;
begin
  select coalesce(array_agg(l.id), '{}') into v_valid from (
    select j.id from ${s}.jobs j
    where j.queue = p_queue and j.id = any(p_ids)
      and ((j.id, j.token) in (select * from unnest(p_ids, p_tokens))) is true
    order by j.id for no key update) l;
  if cardinality(v_valid) < cardinality(p_ids) then
    select v_valid || coalesce(array_agg(h.id), '{}') into v_valid from ${s}.jobs_history h
    where h.id = any(p_ids) and h.id <> all(v_valid)
      and ((h.id, h.token) in (select * from unnest(p_ids, p_tokens))) is true;
  end if;

  for v_head in
    with chunks as materialized (
      select c.*, sum(c.skip + c.count) over w - c.count + 1 as place,
        sum(c.count) over w - c.count as lines_before, sum(c.bytes) over w - c.bytes as bytes_before
      from json_to_recordset(p_chunks) as c(ord integer, id uuid, token uuid, attempt integer, batch bigint, skip integer,
        count integer, bytes integer, lines jsonb)
      where c.id = any(v_valid)
      window w as (partition by c.id order by c.ord rows unbounded preceding)),
    heads as (
      insert into ${s}.job_logs as l (job_id, lines, bytes, last_n, token, batch)
      select c.id, sum(c.count), sum(c.bytes), sum(c.skip + c.count), c.token, max(c.batch) from chunks c
      group by c.id, c.token order by c.id
      on conflict (job_id) do update set lines = l.lines + excluded.lines, bytes = l.bytes + excluded.bytes,
        last_n = l.last_n + excluded.last_n, token = excluded.token, batch = excluded.batch
      where l.token <> excluded.token or l.batch < excluded.batch
      returning l.job_id, l.lines, l.bytes, l.last_n),
    sums as (
      select c.id, sum(c.count) as lines, sum(c.bytes) as bytes, sum(c.skip + c.count) as numbers from chunks c group by c.id),
    stored as (
      insert into ${s}.job_log_chunks (job_id, n, count, bytes, attempt, early, lines)
      select c.id, h.last_n - t.numbers + c.place, c.count, c.bytes, c.attempt,
        h.last_n - t.numbers + c.place <= ${earlyLines} and h.bytes - t.bytes + c.bytes_before < ${earlyBytes}, c.lines
      from chunks c join heads h on h.job_id = c.id join sums t on t.id = c.id)
    select h.job_id, h.lines - ${mostLines * 0.9} as lines, h.bytes - ${Math.round(mostBytes * 0.9)} as bytes from heads h
    where h.lines > ${mostLines} or h.bytes > ${mostBytes}
  loop
    with late as (
      select c.n, sum(c.count) over w - c.count as lines, sum(c.bytes) over w - c.bytes as bytes
      from ${s}.job_log_chunks c where c.job_id = v_head.job_id and not c.early
      window w as (order by c.n)),
    gone as (
      delete from ${s}.job_log_chunks c using late l
      where c.job_id = v_head.job_id and c.n = l.n and (l.lines < v_head.lines or l.bytes < v_head.bytes)
      returning c.count, c.bytes)
    update ${s}.job_logs l set lines = l.lines - g.lines, bytes = l.bytes - g.bytes
    from (select coalesce(sum(count), 0) as lines, coalesce(sum(bytes), 0) as bytes from gone) g
    where l.job_id = v_head.job_id;
  end loop;
  return query select unnest(v_valid);
end
$$`
}

/**
 * Looks at jobs with lines that are due to be looked at: removes the lines of those whose record is gone, and says when
 * to look at the others again. One statement, one snapshot: a job on its way to the history is seen.
 */
function cleanLogs({ schema: s }: Names): string {
  return `create function ${s}.clean_logs_1(p_limit integer) returns table (looked integer, removed integer)
language plpgsql ${pinned} as $$
declare
  v_due uuid[];
begin
  select array_agg(d.job_id) into v_due from (
    select l.job_id from ${s}.job_logs l where l.check_at <= now()
    order by l.check_at limit p_limit for update skip locked) d;
  with seen as materialized (
    select l.job_id, h.keep_until, h.id is not null or exists (select 1 from ${s}.jobs j where j.id = l.job_id) as kept
    from ${s}.job_logs l left join lateral (
      select h.id, h.keep_until from ${s}.jobs_history h where h.id = l.job_id limit 1) h on true
    where l.job_id = any(v_due)),
  later as (
    update ${s}.job_logs l set check_at = greatest(now() + interval '1 hour',
      least(date_trunc('day', s.keep_until, 'UTC') + interval '25 hours', now() + interval '7 days'),
      case when s.keep_until is null then now() + interval '1 day' end)
    from seen s where l.job_id = s.job_id and s.kept),
  gone as (
    delete from ${s}.job_logs l using seen s where l.job_id = s.job_id and not s.kept returning l.job_id),
  chunks as (
    delete from ${s}.job_log_chunks c using gone g where c.job_id = g.job_id)
  select coalesce(cardinality(v_due), 0), (select count(*) from gone) into looked, removed;
  return next;
end
$$`
}
