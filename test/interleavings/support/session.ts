// One connection, driven by hand: BEGIN, statements, COMMIT, and statements that are seen waiting for somebody's lock.
import pg from "pg"
import type { Connection } from "../../../src/model/database.ts"
import { fromTransaction } from "../../../src/postgres/adapters/pg.ts"
import { until } from "./until.ts"

export interface Session {
  readonly pid: number
  readonly db: Connection
  readonly client: pg.Client
  begin(isolation?: string): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Sends a statement without waiting for its end. */
  start<T>(run: (db: Connection) => Promise<T>): Step<T>
  close(): Promise<void>
}

/** A statement under way. */
export interface Step<T> {
  readonly result: Promise<T>
  /** Resolves once it waits for a lock, held by `holder` when given. Fails when it ends instead. */
  waiting(holder?: Session): Promise<void>
}

export async function openSession(url: string, watcher: Connection): Promise<Session> {
  const client = new pg.Client({ connectionString: url, types: { getTypeParser } })
  client.on("error", () => {})
  await client.connect()
  const db = fromTransaction(client)
  const { rows } = await db.query<{ pid: number }>("select pg_backend_pid() as pid")
  const { pid } = rows[0]!
  const say = async (text: string) => void (await client.query(text))
  return {
    pid,
    db,
    client,
    begin: (isolation = "read committed") => say(`begin isolation level ${isolation}`),
    commit: () => say("commit"),
    rollback: () => say("rollback"),
    start: (run) => step(run(db), pid, watcher),
    close: () => client.end(),
  }
}

function step<T>(result: Promise<T>, pid: number, watcher: Connection): Step<T> {
  let ended: { how: unknown } | undefined
  result.then(
    (value) => (ended = { how: value }),
    (error: unknown) => (ended = { how: error }),
  )
  return {
    result,
    async waiting(holder) {
      await until(`backend ${pid} waits for ${holder ? `backend ${holder.pid}` : "a lock"}`, async () => {
        if (ended) throw new Error(`the statement ended instead of waiting: ${show(ended.how)}`)
        const { rows } = await watcher.query<{ by: number[] }>(
          "select pg_blocking_pids(pid) as by from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'",
          [pid],
        )
        const by = rows[0]?.by ?? []
        return holder ? by.includes(holder.pid) : by.length > 0
      })
    },
  }
}

const show = (how: unknown): string => (how instanceof Error ? String(how) : (JSON.stringify(how) ?? String(how)))

function getTypeParser(oid: number, format?: string) {
  return (oid === 20 ? Number : pg.types.getTypeParser(oid, format as "text")) as never
}
