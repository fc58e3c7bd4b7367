import type { Connection, Database } from "../model/database.ts"
import { patchAssignments, patchMoment, patchValues, type JobPatch } from "./jobs.ts"
import { deleteLogs } from "./logs.ts"
import { plainArray, type Names } from "./sql.ts"

/** The statements that act on many jobs at once. All lock rows in id order. */

export interface RetryRow {
  id: string
  queue: string
  /** `taken`: another unfinished job, the holder, has its unique key. */
  outcome: "ready" | "running" | "taken"
  holder: string | null
}

/** Runs jobs again. Ids that nobody knows are not returned. */
export async function retryJobs(db: Connection, names: Names, ids: readonly string[]): Promise<RetryRow[]> {
  const { rows } = await db.query<RetryRow>(`select * from ${names.of("retry_many_1")}($1::uuid[])`, [plainArray(ids)])
  return rows
}

/** Deletes jobs that do not run, with their logs. Ids that nobody knows are not returned. */
export const deleteJobs = (db: Database, names: Names, ids: readonly string[]) =>
  db.transaction((tx) => deleteJobsIn(tx, names, ids))

/** The same within a transaction of yours. */
export async function deleteJobsIn(tx: Connection, names: Names, ids: readonly string[]) {
  const { rows } = await tx.query<{ id: string; outcome: "deleted" | "running" }>(
    `select * from ${names.of("delete_many_1")}($1::uuid[])`,
    [plainArray(ids)],
  )
  const gone = rows.filter((row) => row.outcome === "deleted").map((row) => row.id)
  if (gone.length > 0) await deleteLogs(tx, names, gone)
  return rows
}

/** Changes jobs that have not started, and returns those. */
export async function updateJobs(db: Connection, names: Names, ids: readonly string[], patch: JobPatch) {
  const { rows } = await db.query<{ id: string; state: string; queue: string }>(
    `with ${patchMoment}
     update ${names.of("jobs")} j set ${patchAssignments(names)}
     from moment m
     where j.token is null and j.id = any(array(
       select l.id from ${names.of("jobs")} l where l.id = any($6::uuid[]) and l.token is null order by l.id for update))
     returning j.id, j.state::text, j.queue`,
    [...patchValues(patch), plainArray(ids)],
  )
  return rows
}
