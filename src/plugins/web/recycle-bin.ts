import type { Connection, Database } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { plainArray } from "../../postgres/sql.ts"

/** What jobs were before an operation: old values, or all of a job that is deleted, with its log and the key that it holds. */

/** Keeps jobs as they are now. Those that run cannot be changed, so they are left out. */
export async function keepRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<number> {
  const { count } = await db.query(
    `insert into ${names.of("web_kept")} (operation, job, source, row)
     select $1::uuid, j.id, 'jobs', to_jsonb(j) from ${names.of("jobs")} j where j.id = any($2::uuid[]) and j.token is null
     union all
     select $1::uuid, h.id, 'jobs_history', to_jsonb(h) from ${names.of("jobs_history")} h where h.id = any($2::uuid[])
     on conflict do nothing`,
    [operation, plainArray(ids)],
  )
  return count
}

/** What goes with a job that is deleted: the lines of its log, and a key of its own that it holds (`unique_keys`). */
export async function keepBelongings(
  db: Connection,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<void> {
  await db.query(
    `update ${names.of("web_kept")} k set
       log = (select to_jsonb(l) from ${names.of("job_logs")} l where l.job_id = k.job),
       log_chunks = (select jsonb_agg(to_jsonb(c)) from ${names.of("job_log_chunks")} c where c.job_id = k.job),
       held_key = (select u.key from ${names.of("unique_keys")} u
         where u.key = k.row -> 'options' -> 'unique' ->> 'key' and u.job = k.job and u.until is null)
     where k.operation = $1 and k.job = any($2::uuid[])`,
    [operation, plainArray(ids)],
  )
}

export async function forgetRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<number> {
  if (ids.length === 0) return 0
  const { count } = await db.query(
    `delete from ${names.of("web_kept")} where operation = $1 and job = any($2::uuid[])`,
    [operation, plainArray(ids)],
  )
  return count
}

export interface KeptRow {
  job: string
  source: "jobs" | "jobs_history"
  row: Record<string, unknown>
}

/** What was kept, in the order of ids. */
export async function keptRows(
  db: Connection,
  names: PluginNames,
  operation: string,
  after: string,
  limit: number,
): Promise<KeptRow[]> {
  const { rows } = await db.query<KeptRow>(
    `select job, source, row from ${names.of("web_kept")} where operation = $1 and job > $2 order by job limit $3`,
    [operation, after, limit],
  )
  return rows
}

/**
 * Puts deleted jobs back where they were, as they were, as long as they would be kept. A key that somebody else has taken
 * meanwhile keeps its job away.
 *
 * @returns the ids that are back.
 */
export function restoreRows(
  db: Database,
  names: PluginNames,
  operation: string,
  ids: readonly string[],
): Promise<{ id: string; queue: string }[]> {
  return db.transaction(async (tx) => {
    const wanted = await reserveAgain(tx, names, operation, ids)
    const back = async (table: "jobs" | "jobs_history", where: string) => {
      const { rows } = await tx.query<{ id: string; queue: string }>(
        `insert into ${names.of(table)}
         select r.* from ${names.of("web_kept")} k, jsonb_populate_record(null::${names.of(table)}, k.row) r
         where k.operation = $1 and k.source = '${table}' and k.job = any($2::uuid[]) and ${where}
           and not exists (select 1 from ${names.of("jobs")} j where j.id = k.job)
           and not exists (select 1 from ${names.of("jobs_history")} h where h.id = k.job)
         order by k.job on conflict do nothing returning id, queue`,
        [operation, plainArray(wanted)],
      )
      return rows
    }
    const restored = [...(await back("jobs", "true")), ...(await back("jobs_history", "r.keep_until > now()"))]
    const there = restored.map(({ id }) => id)
    await restoreLogs(tx, names, operation, there)
    await freeUnused(tx, names, operation, there, wanted)
    return restored
  })
}

/** Takes the keys that the jobs held. @returns the jobs that need none, or have theirs. */
async function reserveAgain(tx: Connection, names: PluginNames, operation: string, ids: readonly string[]) {
  const [kept, keys] = [names.of("web_kept"), names.of("unique_keys")]
  const values = [operation, plainArray(ids)]
  await tx.query(
    `delete from ${keys} u using ${kept} k
     where k.operation = $1 and k.job = any($2::uuid[]) and u.key = k.held_key and u.until <= now()`,
    values,
  )
  await tx.query(
    `insert into ${keys} (key, job, queue, name)
     select k.held_key, k.job, k.row ->> 'queue', k.row ->> 'name' from ${kept} k
     where k.operation = $1 and k.job = any($2::uuid[]) and k.held_key is not null order by k.held_key
     on conflict do nothing`,
    values,
  )
  const { rows } = await tx.query<{ job: string }>(
    `select k.job from ${kept} k left join ${keys} u on u.key = k.held_key and u.job = k.job
     where k.operation = $1 and k.job = any($2::uuid[]) and (k.held_key is null or u.key is not null)`,
    values,
  )
  return rows.map(({ job }) => job)
}

/** A job that did not come back, for another reason, holds no key. */
async function freeUnused(
  tx: Connection,
  names: PluginNames,
  operation: string,
  there: readonly string[],
  wanted: readonly string[],
): Promise<void> {
  if (there.length === wanted.length) return
  await tx.query(
    `delete from ${names.of("unique_keys")} u using ${names.of("web_kept")} k
     where k.operation = $1 and k.job = any($2::uuid[]) and not k.job = any($3::uuid[]) and u.key = k.held_key and u.job = k.job
       and not exists (select 1 from ${names.of("jobs")} j where j.id = k.job)`,
    [operation, plainArray(wanted), plainArray(there)],
  )
}

async function restoreLogs(tx: Connection, names: PluginNames, operation: string, ids: readonly string[]) {
  if (ids.length === 0) return
  const of = (table: "job_logs" | "job_log_chunks", from: string) =>
    tx.query(
      `insert into ${names.of(table)} select r.* from ${names.of("web_kept")} k, ${from} r
       where k.operation = $1 and k.job = any($2::uuid[]) and k.log is not null order by k.job on conflict do nothing`,
      [operation, plainArray(ids)],
    )
  await of("job_logs", `jsonb_populate_record(null::${names.of("job_logs")}, k.log)`)
  await of("job_log_chunks", `jsonb_populate_recordset(null::${names.of("job_log_chunks")}, k.log_chunks)`)
}
