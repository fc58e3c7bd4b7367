import type { JobFilter } from "../model/filter.ts"
import type { Rule } from "../model/rule.ts"
import { ensurePartitions } from "../postgres/history.ts"
import { deleteJobs, retryJobs, updateJobs } from "../postgres/bulk.ts"
import { cancelJobs, retentionsInUse } from "../postgres/jobs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import { inChunks, type BulkOptions, type BulkReport, type ChunkResult, type Refusal } from "./bulk.ts"
import type { Context } from "./context.ts"
import { patchOf, type UpdateOptions } from "./update.ts"

/** Runs them again; see `Millrace.retryAll`. */
export const retryAll = (context: Context, filter: JobFilter | Rule, options?: BulkOptions): Promise<BulkReport> =>
  inChunks(context, "retryAll", filter, options, async (ids) => {
    const { db, names, notices } = context
    const rows = await retryJobs(db, names, ids)
    const ready = rows.filter((row) => row.outcome === "ready")
    for (const about of new Set(ready.map((row) => row.queue))) notices.send({ kind: "ready", about })
    const refused = rows.filter((row) => row.outcome !== "ready")
    return result(
      ids,
      ready.map((row) => row.id),
      refused.map(({ id, outcome, holder }) => (outcome === "running" ? running(id, "retried") : keyTaken(id, holder))),
    )
  })

/** Cancels them; see `Millrace.cancelAll`. */
export async function cancelAll(
  context: Context,
  filter: JobFilter | Rule,
  reason: string | undefined,
  options?: BulkOptions,
): Promise<BulkReport & { readonly requested: number }> {
  const { db, names, notices } = context
  const text = reason?.slice(0, 2_000).replaceAll("\0", "") ?? null
  let requested = 0
  const report = await inChunks(context, "cancelAll", filter, options, async (ids) => {
    const rows = await cancelJobs(db, names, null, ids, text).catch(async (error: unknown) => {
      if (verdict(error) !== "partition") throw error
      await ensurePartitions(db, names, await retentionsInUse(db, names, ids))
      return cancelJobs(db, names, null, ids, text)
    })
    for (const { id, outcome, awaited } of rows) {
      if (outcome === "requested") notices.send({ kind: "cancel", about: id })
      if (awaited) notices.send({ kind: "done", about: id })
    }
    const ended = rows.filter((row) => row.outcome === "finished").map((row) => row.id)
    requested += rows.filter((row) => row.outcome === "requested").length
    const done = rows.filter((row) => row.outcome !== "finished").map((row) => row.id)
    return result(
      ids,
      done,
      ended.map((id) => refusal(id, "MILLRACE_JOB_FINISHED", `Job ${id} has finished.`)),
    )
  })
  return { ...report, requested }
}

/** Deletes them for good; see `Millrace.deleteAll`. */
export const deleteAll = (context: Context, filter: JobFilter | Rule, options?: BulkOptions): Promise<BulkReport> =>
  inChunks(context, "deleteAll", filter, options, async (ids) => {
    const rows = await deleteJobs(context.db, context.names, ids)
    const gone = rows.filter((row) => row.outcome === "deleted").map((row) => row.id)
    const held = rows.filter((row) => row.outcome === "running").map((row) => running(row.id, "deleted"))
    return result(ids, gone, held)
  })

/** Changes those that have not started; see `Millrace.updateAll`. */
export function updateAll(
  context: Context,
  filter: JobFilter | Rule,
  changes: UpdateOptions,
  options?: BulkOptions,
): Promise<BulkReport> {
  const patch = patchOf(changes, context.maxPayload)
  return inChunks(context, "updateAll", filter, options, async (ids) => {
    const rows = await updateJobs(context.db, context.names, ids, patch)
    for (const row of rows)
      context.notices.send({ kind: row.state === "pending" ? "ready" : "later", about: row.queue })
    const done = new Set(rows.map((row) => row.id))
    const rest = ids.filter((id) => !done.has(id))
    const text = (id: string) => `Job ${id} has started or finished, so it cannot be changed.`
    return result(
      ids,
      [...done],
      rest.map((id) => refusal(id, "MILLRACE_JOB_RUNNING", text(id))),
    )
  })
}

/** Jobs that nobody answered for had gone when their turn came. */
function result(ids: readonly string[], changed: readonly string[], refusals: readonly Refusal[]): ChunkResult {
  const answered = new Set([...changed, ...refusals.map((one) => one.id)])
  const gone = ids.filter((id) => !answered.has(id))
  const missing = gone.map((id) => refusal(id, "MILLRACE_UNKNOWN_JOB", `Job ${id} has gone meanwhile.`))
  return { changed: changed.length, refusals: [...refusals, ...missing] }
}

const refusal = (id: string, code: Refusal["code"], message: string): Refusal => ({ id, code, message })

const running = (id: string, what: string): Refusal =>
  refusal(id, "MILLRACE_JOB_RUNNING", `Job ${id} is running, so it cannot be ${what} now; cancel it first.`)

const keyTaken = (id: string, holder: string | null): Refusal =>
  refusal(id, "MILLRACE_KEY_TAKEN", `Job ${id}: its unique key is held by job ${holder ?? "that has just finished"}.`)
