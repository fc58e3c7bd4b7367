import type { AppContext } from "../../model/plugin.ts"
import { plainArray } from "../../postgres/sql.ts"
import { childrenEnded, wake } from "./settling.ts"

/*
 * What no settlement tells: jobs that end without one (cancelled while they waited, lost too often, deleted, settled by a
 * worker without this plugin), and what a process that died between a commit and a wake-up left undone.
 */

const batch = 1_000
const first = "00000000-0000-0000-0000-000000000000"

export async function sweep(app: AppContext, signal: AbortSignal): Promise<void> {
  await children(app, signal)
  await runs(app, signal)
}

/** Jobs that a run waits for, and that are not there any more. */
async function children(app: AppContext, signal: AbortSignal): Promise<void> {
  const { db, names } = app
  for (let after = first; !signal.aborted;) {
    const { rows } = await db.query<{ run: string; child: string }>(
      `select w.run, w.child from ${names.of("flow_steps")} w
       where w.kind = 'result' and w.status = 'waiting' and w.child > $1
         and not exists (select 1 from ${names.of("jobs")} j where j.id = w.child)
       order by w.child limit ${batch}`,
      [after],
    )
    if (rows.length === 0) return
    await childrenEnded(db, names, plainArray(rows.map(({ child }) => child)))
    await wake(app, [...new Set(rows.map(({ run }) => run))])
    after = rows.at(-1)!.child
  }
}

/** Runs whose job is not there any more. */
async function runs({ db, names }: AppContext, signal: AbortSignal): Promise<void> {
  for (let after = first; !signal.aborted;) {
    const { rows } = await db.query<{ id: string }>(
      `select r.id from ${names.of("flow_runs")} r
       where r.finished_at is null and r.id > $1
         and not exists (select 1 from ${names.of("jobs")} j where j.id = r.id)
       order by r.id limit ${batch}`,
      [after],
    )
    if (rows.length === 0) return
    await db.query(closeRuns(names.of.bind(names)), [plainArray(rows.map(({ id }) => id))])
    after = rows.at(-1)!.id
  }
}

/** Takes over what the history says of runs whose job has left `jobs` without telling. */
export const closeRuns = (of: (name: string) => string): string =>
  `update ${of("flow_runs")} r set state = coalesce(h.state::text, 'cancelled'), wake_at = null, updated_at = now(),
     finished_at = coalesce(h.finished_at, now()), result = h.result::json,
     error = case when h.state = 'succeeded' then null else h.errors -> -1 end
   from unnest($1::uuid[]) as gone(id) left join ${of("jobs_history")} h on h.id = gone.id and h.id = any($1::uuid[])
   where r.id = gone.id and r.finished_at is null
     and not exists (select 1 from ${of("jobs")} j where j.id = r.id)`

/** Removes runs that ended before their retention. Returns how many rows went. */
export async function cleanUp({ db, names }: AppContext, retention: number): Promise<number> {
  let removed = 0
  for (let gone = batch; gone === batch; removed += gone) {
    const { rows } = await db.query<{ gone: number }>(
      `with gone as (
         delete from ${names.of("flow_runs")} where id = any(array(
           select r.id from ${names.of("flow_runs")} r
           where r.finished_at < now() - $1 * interval '1 millisecond' order by r.finished_at limit ${batch}))
         returning id),
       steps as (delete from ${names.of("flow_steps")} where run = any(array(select id from gone))),
       inbox as (delete from ${names.of("flow_inbox")} where run = any(array(select id from gone)))
       select count(*)::integer as gone from gone`,
      [retention],
    )
    gone = rows[0]!.gone
  }
  // Signals for flows that never began.
  const { count } = await db.query(
    `delete from ${names.of("flow_inbox")} where id = any(array(
       select i.id from ${names.of("flow_inbox")} i where i.created_at < now() - $1 * interval '1 millisecond'
         and not exists (select 1 from ${names.of("flow_runs")} r where r.id = i.run)
         and not exists (select 1 from ${names.of("jobs")} j where j.id = i.run)
       order by i.created_at limit ${batch}))`,
    [retention],
  )
  return removed + count
}
