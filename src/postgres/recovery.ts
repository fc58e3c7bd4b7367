import type { Database } from "../model/database.ts"
import { ensurePartitions } from "./history.ts"
import { retentionsInUse } from "./jobs.ts"
import { verdict } from "./sqlstate.ts"
import type { Names } from "./sql.ts"
import { recover, recoverOrphans, type RecoveredRow } from "./workers.ts"

const atOnce = 500

/** Takes back the claims of every dead worker, fenced by state and token. Any number of workers may do so at once. */
export async function takeBackClaims(db: Database, names: Names, maxCrashes: number): Promise<RecoveredRow[]> {
  const all: RecoveredRow[] = []
  const done: string[] = []
  for (;;) {
    const found = await healed(db, names, () => recover(db, names, atOnce, maxCrashes, done))
    if (!found) break
    all.push(...found.rows)
    // The rest is locked by somebody, and left for the next time.
    if (found.rows.length < atOnce) done.push(found.incarnation)
  }
  for (let more = true; more;) {
    const rows = await healed(db, names, () => recoverOrphans(db, names, atOnce))
    all.push(...rows)
    more = rows.length === atOnce
  }
  return all
}

/** Runs a statement that may move running jobs to the history; when it lacks a partition, makes it and runs again. */
async function healed<T>(db: Database, names: Names, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (verdict(error) !== "partition") throw error
    await ensurePartitions(db, names, await retentionsInUse(db, names))
    return run()
  }
}
