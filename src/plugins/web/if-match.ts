import { recordOf } from "../../client/record.ts"
import type { Connection } from "../../model/database.ts"
import type { JobRecord } from "../../model/job.ts"
import { findJobs } from "../../postgres/jobs.ts"
import { versionOf } from "./job-view.ts"
import { refuse } from "./problem.ts"
import type { Call } from "./route.ts"

/**
 * Runs a change of a job, with `If-Match` only while the job is what its author has seen: it is locked, looked at again and
 * changed in one transaction, so that of two edits of one version one is refused.
 *
 * @throws Refused.
 */
export async function ifMatch<T>(
  { request, site: { context } }: Call,
  job: JobRecord,
  change: (tx: Connection) => Promise<T>,
): Promise<T> {
  const versions = (request.headers.get("if-match") ?? "*").split(",").map((one) => one.trim())
  return context.db.transaction(async (tx) => {
    if (versions.includes("*")) return change(tx)
    await tx.query(`select 1 from ${context.names.of("jobs")} where id = $1 for update`, [job.id])
    const [row] = await findJobs(tx, context.names, [job.id])
    if (row && versions.includes(versionOf(recordOf(row)))) return change(tx)
    throw refuse(412, "MILLRACE_CHANGED", "The job has changed since you saw it. Look at it again.")
  })
}
