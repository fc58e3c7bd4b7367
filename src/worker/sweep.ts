import type { Context } from "../client/context.ts"
import { retentionsInUse } from "../postgres/jobs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import { dropExpiredPartitions, ensurePartitions } from "../postgres/history.ts"
import { cleanLogs } from "../postgres/logs.ts"
import { undeclaredQueues } from "../postgres/queues.ts"
import { recover, recoverOrphans, type RecoveredRow } from "../postgres/workers.ts"

/*
 * What some worker must do now and then, and any number may do at once: take dead workers' claims back, keep the history's
 * partitions ahead and drop the expired ones, report jobs in queues that nobody declared.
 */

const atOnce = 500

/** Takes back the claims of every dead worker, fenced by state and token; wakes their queues. */
export async function takeBackClaims(context: Context, maxCrashes: number): Promise<RecoveredRow[]> {
  const { db, names, notices, log } = context
  const all: RecoveredRow[] = []
  const done: string[] = []
  for (;;) {
    const found = await healed(context, () => recover(db, names, atOnce, maxCrashes, done))
    if (!found) break
    all.push(...found.rows)
    // The rest is locked by somebody, and left for the next sweep.
    if (found.rows.length < atOnce) done.push(found.incarnation)
  }
  for (let more = true; more;) {
    const rows = await healed(context, () => recoverOrphans(db, names, atOnce))
    all.push(...rows)
    more = rows.length === atOnce
  }
  for (const about of new Set(all.map((row) => row.queue))) notices.send({ kind: "ready", about })
  if (all.length > 0) {
    const failed = all.filter((row) => row.state === "failed").length
    const workers = [...new Set(all.map((row) => row.worker))]
    log.warn("claims of lost workers were taken back", { jobs: all.length, failed, workers })
  }
  return all
}

/** Runs a statement that may move running jobs to the history; when it lacks a partition, makes it and runs again. */
async function healed<T>({ db, names }: Context, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (verdict(error) !== "partition") throw error
    await ensurePartitions(db, names, await retentionsInUse(db, names))
    return run()
  }
}

/** Keeps partitions ahead of these retentions (seconds), drops those whose every row may go, and lines of jobs that went. */
export async function tendHistory({ db, names, log }: Context, retentions: Iterable<number>): Promise<void> {
  await ensurePartitions(db, names, retentions)
  const dropped = await dropExpiredPartitions(db, names)
  if (dropped.length > 0) log.info("expired history was dropped", { partitions: dropped })
  while ((await cleanLogs(db, names, atOnce)).looked === atOnce);
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
