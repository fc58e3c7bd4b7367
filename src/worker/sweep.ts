import type { Context } from "../client/context.ts"
import { dropExpiredPartitions, ensurePartitions } from "../postgres/history.ts"
import { undeclaredQueues } from "../postgres/queues.ts"
import { anyExpired, recover, recoverOrphans, type RecoveredRow } from "../postgres/workers.ts"

/*
 * What some worker must do now and then, and any number may do at once: take dead workers' claims back, keep the history's
 * partitions ahead and drop the expired ones, report jobs in queues that nobody declared.
 */

const atOnce = 500

/** Takes back the claims of every dead worker, fenced by state and token; wakes their queues. */
export async function takeBackClaims(context: Context, maxCrashes: number): Promise<RecoveredRow[]> {
  const { db, names, notices, log } = context
  const all: RecoveredRow[] = []
  for (;;) {
    const rows = await recover(db, names, atOnce, maxCrashes)
    all.push(...rows)
    if (rows.length === 0 && !(await anyExpired(db, names))) break
    if (rows.length === 0) break // somebody else is at it, or holds the rows
  }
  for (;;) {
    const rows = await recoverOrphans(db, names, atOnce)
    all.push(...rows)
    if (rows.length < atOnce) break
  }
  for (const about of new Set(all.map((row) => row.queue))) notices.send({ kind: "ready", about })
  if (all.length > 0) {
    const failed = all.filter((row) => row.state === "failed").length
    log.warn("claims of lost workers were taken back", {
      jobs: all.length,
      failed,
      workers: [...new Set(all.map((row) => row.worker))],
    })
  }
  return all
}

/** Keeps partitions ahead of these retentions (seconds) and drops those whose every row may go. */
export async function tendHistory({ db, names, log }: Context, retentions: Iterable<number>): Promise<void> {
  await ensurePartitions(db, names, retentions)
  const dropped = await dropExpiredPartitions(db, names)
  if (dropped.length > 0) log.info("expired history was dropped", { partitions: dropped })
}

/** Warns once per queue that has jobs but no row. */
export async function reportUndeclared({ db, names, log }: Context, reported: Set<string>): Promise<void> {
  for (const queue of await undeclaredQueues(db, names)) {
    if (!reported.has(queue))
      log.warn(
        `queue "${queue}" has jobs but was never declared, so nobody runs them: call app.declareQueue("${queue}")`,
      )
    reported.add(queue)
  }
}
