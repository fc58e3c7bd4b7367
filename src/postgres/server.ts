import type { Database } from "../model/database.ts"

/** What one statement says about the server and the way to it. */
export interface ServerLook {
  /** Its clock, ms since 1970. */
  readonly now: number
  readonly version: string
  /** The process that answered. */
  readonly backend: number
  /** The process that the connection was told it talks to: another one when a pooler stands in between. */
  readonly told: number | undefined
}

const text = `select extract(epoch from clock_timestamp())::float8 * 1000 as now, pg_backend_pid() as backend,
  split_part(current_setting('server_version'), ' ', 1) as version`

export async function lookAtServer(db: Database): Promise<ServerLook> {
  const { rows, backend } = await (db.probe ?? db.query)<Omit<ServerLook, "told">>(text)
  return { ...rows[0]!, told: backend }
}
