import type { Connection } from "../model/database.ts"
import type { Names } from "./sql.ts"

/** What a job's start depends on beside its own row and its queue's, read in one statement. */
export interface ExplainRow {
  now: Date
  running: number
  rate_until: Date | null
  key_running: string[] | null
  key_until: Date | null
  key_first: string | null
  stopped_by: string | null
  ahead: number
  workers: { tags: string[]; handlers: string[] }[] | null
}

const until = (names: Names, alias: string, rate: string): string => `case
       when ${names.of("limit_left")}(${alias}.tokens, ${alias}.tokens_at, clock_timestamp(), (${rate} ->> 'allowed')::float8,
         (${rate} ->> 'windowMs')::float8, (${rate} ->> 'burst')::float8) >= 1 then null
       when ${rate} ->> 'burst' is null then ${alias}.tokens_at + (${rate} ->> 'windowMs')::float8 * interval '1 millisecond'
       else ${alias}.tokens_at + (1 - ${alias}.tokens) * (${rate} ->> 'windowMs')::float8 / (${rate} ->> 'allowed')::float8 * interval '1 millisecond' end`

/** Undefined: the job is not unfinished any more. */
export async function explainJob(db: Connection, names: Names, id: string): Promise<ExplainRow | undefined> {
  const jobs = names.of("jobs")
  const keyed = (state: string) =>
    `k.queue = j.queue and (k.options ->> 'key') = (j.options ->> 'key') and (k.options ->> 'key') is not null and ${state}`
  const { rows } = await db.query<ExplainRow>(
    `select now() as now,
       (select count(*)::integer from ${names.of("workers")} w cross join lateral (
         select 1 from ${jobs} r where r.worker = w.incarnation and r.state = 'running' and r.queue = j.queue) r) as running,
       (select ${until(names, "l", "q.limits -> 'rate'")} from ${names.of("limit_queues")} l
         where l.queue = j.queue and q.limits ? 'rate') as rate_until,
       array(select k.id from ${jobs} k where ${keyed("k.state = 'running'")} limit 20) as key_running,
       (select ${until(names, "l", "q.limits -> 'keyRate'")} from ${names.of("limit_keys")} l
         where l.queue = j.queue and l.key = (j.options ->> 'key') and q.limits ? 'keyRate') as key_until,
       coalesce(
         (select k.id from ${jobs} k where ${keyed("k.claims > 0 and k.state in ('retrying', 'scheduled', 'blocked')")}
           and k.id <> j.id limit 1),
         (select k.id from ${jobs} k where ${keyed("k.state = 'pending'")}
           and (k.rank, k.created_at, k.id) < (j.rank, j.created_at, j.id) order by k.rank, k.created_at, k.id limit 1)
       ) as key_first,
       coalesce(
         (select l.stopped_by from ${names.of("limit_keys")} l where l.queue = j.queue and l.key = (j.options ->> 'key')),
         (select a.job from ${names.of("limit_arrivals")} a where a.queue = j.queue and a.key = (j.options ->> 'key') and a.stops limit 1)
       ) as stopped_by,
       case when (j.options ->> 'key') is null then (select count(*)::integer from (
         select 1 from ${jobs} r where r.queue = j.queue and r.state = 'pending' and r.crashes < 2 and (r.options ->> 'key') is null
           and (r.rank, r.ready_at, r.id) < (j.rank, j.ready_at, j.id) limit 1000) before)
       else (select count(*)::integer from (
         select 1 from ${jobs} k where ${keyed("k.state = 'pending'")}
           and (k.rank, k.created_at, k.id) < (j.rank, j.created_at, j.id) limit 1000) before) end as ahead,
       (select json_agg(json_build_object('tags', w.tags, 'handlers', w.handlers)) from ${names.of("workers")} w
         where w.expires_at > now()) as workers
     from ${jobs} j left join ${names.of("queues")} q on q.name = j.queue
     where j.id = $1`,
    [id],
  )
  return rows[0]
}
