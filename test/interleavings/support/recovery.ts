import type { Connection } from "../../../src/model/database.ts"
import type { Names } from "../../../src/postgres/sql.ts"
import { recover as takeBack, type RecoveredRow } from "../../../src/postgres/workers.ts"

/** The jobs that were taken back from one dead worker; undefined when no dead worker could be had. */
export async function recover(db: Connection, names: Names, limit: number, maxCrashes: number) {
  const found = await takeBack(db, names, limit, maxCrashes)
  return found && found.rows.map(({ id, queue, state, worker }): RecoveredRow => ({ id, queue, state, worker }))
}
