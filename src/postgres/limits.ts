import type { Connection } from "../model/database.ts"
import type { Names } from "./sql.ts"

/** A key of an ordered queue that stands still. */
export interface StoppedKey {
  readonly key: string
  /** Id of the job that failed for good. */
  readonly job: string
  readonly since: Date
}

export async function stoppedKeys(db: Connection, names: Names, queue: string): Promise<StoppedKey[]> {
  const { rows } = await db.query<StoppedKey>(
    `select key, stopped_by as job, stopped_at as since from ${names.of("limit_keys")}
     where queue = $1 and stopped_by is not null
     union all
     select a.key, a.job, now() from ${names.of("limit_arrivals")} a where a.queue = $1 and a.stops
     order by since limit 1000`,
    [queue],
  )
  return rows
}

/** Also what was stopped a moment ago and is not yet entered. */
export async function resumeKey(db: Connection, names: Names, queue: string, key: string): Promise<boolean> {
  const { count: unread } = await db.query(
    `delete from ${names.of("limit_arrivals")} where queue = $1 and key = $2 and stops`,
    [queue, key],
  )
  const { count } = await db.query(
    `update ${names.of("limit_keys")} set stopped_by = null, stopped_at = null, ready = true
     where queue = $1 and key = $2 and stopped_by is not null`,
    [queue, key],
  )
  return unread + count > 0
}
