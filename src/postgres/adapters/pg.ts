import pg from "pg"
import { abortableSleep } from "../../lib/signal.ts"
import { backoffDelay } from "../../lib/backoff.ts"
import { MillraceError } from "../../lib/error.ts"
import { Semaphore } from "../../lib/semaphore.ts"
import type { CallerTransaction, Connection, Database, ListenEvents, Listening, Rows } from "../../model/database.ts"

/**
 * The adapter for `pg`. A pool is recognised by its shape, never by `instanceof`: the caller's copy of `pg` may be
 * another one than ours.
 */
export interface PgPool {
  connect(): Promise<PgClient>
  readonly options?: { readonly max?: number }
  readonly Client?: unknown
  on?(event: "error", listener: (error: Error) => void): unknown
  on?(event: "connect", listener: (client: PgClient) => void): unknown
  end(): Promise<void>
}

export interface PgClient {
  query(config: object): Promise<{ rows: unknown[]; rowCount: number | null; command?: string }>
  on?(event: "error", listener: (error: Error) => void): unknown
  readonly processID?: number | null
  release(error?: Error | boolean): void
}

export interface PgOptions {
  /** Most connections of our own pool. Default 10. */
  maxConnections?: number
  /** A statement that takes longer has failed, and its connection is thrown away, ms. Default 30,000. */
  queryTimeout?: number
}

/** A database reached through a pool of our own. */
export function fromDsn(dsn: string, options: PgOptions = {}): Database {
  const pool = new pg.Pool({
    connectionString: dsn,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: "millrace",
  })
  return make(pool, { connectionString: dsn }, options, dsn)
}

/** A database reached through the caller's pool, which stays the caller's to close. */
export function fromPool(pool: PgPool, options: PgOptions = {}): Database {
  const database = make(pool, pool.options, options)
  return { ...database, close: async () => {} }
}

export const isPgPool = (value: unknown): value is PgPool =>
  typeof value === "object" && value !== null && "connect" in value && "query" in value && "end" in value

/** The caller's own transaction, as a connection of ours. */
export function fromTransaction(tx: CallerTransaction): Connection {
  if (typeof tx?.query !== "function") throw notATransaction("has no query function")
  if ("totalCount" in tx) throw notATransaction("is a pool, whose statements go to any connection")
  return {
    async query<Row>(text: string, values?: readonly unknown[]) {
      const result = (await tx.query(text, values as unknown[] | undefined)) as {
        rows?: Row[]
        rowCount?: number | null
      }
      if (!Array.isArray(result?.rows)) throw notATransaction("answers a query without rows")
      return { rows: result.rows, count: result.rowCount ?? result.rows.length }
    },
  }
}

const notATransaction = (what: string) =>
  new MillraceError(
    "MILLRACE_BAD_TRANSACTION",
    `\`tx\` ${what}. It must be a client with an open transaction whose \`query(text, values)\` resolves to an object with \`rows\`, as a \`pg\` client's does.`,
  )

function make(pool: PgPool, listenConfig: object | undefined, options: PgOptions, dsn?: string): Database {
  const timeout = options.queryTimeout ?? 30_000
  // Without a listener, an idle connection that breaks ends the process.
  pool.on?.("error", () => {})
  // Each client from its first moment: pg-pool stops listening when it hands one out, before we could start.
  pool.on?.("connect", (client) => client.on?.("error", () => {}))
  const query = async <Row>(text: string, values?: readonly unknown[]): Promise<Rows<Row>> => {
    const client = await checkOut(pool)
    const result = await bounded<Row>(client, timeout, text, values)
    client.release()
    return result
  }
  // Transactions last as long as somebody's code in them: two connections stay free for single statements, so that
  // outcomes and renewals never wait for a handler.
  const permits = new Semaphore(Math.max(1, (pool.options?.max ?? 10) - 2))
  const probe = async <Row>(text: string): Promise<Rows<Row>> => {
    const client = await checkOut(pool)
    const backend = client.processID ?? undefined
    const result = await bounded<Row>(client, timeout, text)
    client.release()
    return { ...result, backend }
  }
  return {
    query,
    probe,
    transaction: (run) => permits.with(() => transaction(pool, timeout, run)),
    listen: (channel, events) => listen(listenConfig, channel, events),
    close: () => pool.end(),
    ...(dsn === undefined ? {} : { dsn }),
  }
}

const guarded = new WeakSet<PgClient>()

/** A client of the pool. The pool listens for errors only while a client is idle; one that breaks in use would end the process. */
async function checkOut(pool: PgPool): Promise<PgClient> {
  const client = await pool.connect()
  if (!guarded.has(client)) {
    guarded.add(client)
    client.on?.("error", () => {})
  }
  return client
}

/** Runs one statement under a deadline. A client whose statement failed on the wire or timed out is never used again. */
async function bounded<Row>(
  client: PgClient,
  timeout: number,
  text: string,
  values?: readonly unknown[],
): Promise<Rows<Row>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timeoutError(timeout)), timeout)
  })
  try {
    const result = await Promise.race([client.query({ text, values, types }), late])
    return { rows: result.rows as Row[], count: result.rowCount ?? result.rows.length }
  } catch (error) {
    client.release(isServerError(error) ? undefined : (error as Error))
    throw error
  } finally {
    clearTimeout(timer)
  }
}

const timeoutError = (ms: number) =>
  new MillraceError("MILLRACE_QUERY_TIMEOUT", `The database did not answer within ${ms} ms.`)

/** The server answered, so the connection is in order (unless the server is going away: class 57P). */
const isServerError = (error: unknown): boolean => {
  const code = (error as { code?: unknown; severity?: unknown }).code
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && !/^(57P|08)/.test(code)
}

async function transaction<T>(pool: PgPool, timeout: number, run: (tx: Connection) => Promise<T>): Promise<T> {
  const client = await checkOut(pool)
  let broken: Error | undefined
  // In a transaction the client is kept after an error, so that the rollback can be sent on it.
  const tx: Connection = {
    async query<Row>(text: string, values?: readonly unknown[]) {
      const kept = {
        query: (config: object) => client.query(config),
        release: (error?: Error | boolean) => void (broken ??= error as Error),
      }
      return bounded<Row>(kept, timeout, text, values)
    },
  }
  try {
    await tx.query("begin")
    const result = await run(tx)
    await commit(client, timeout)
    client.release()
    return result
  } catch (error) {
    if ((error as { code?: string }).code === "MILLRACE_COMMIT_UNKNOWN") broken = error as Error
    if (!broken) await tx.query("rollback").catch((failure: Error) => (broken = failure))
    client.release(broken)
    throw error
  }
}

/**
 * A COMMIT can end in three ways. Committed; rolled back although nobody saw an error (somebody swallowed one, and the
 * server answers COMMIT with ROLLBACK); or unknown, when the reply is lost.
 */
async function commit(client: PgClient, timeout: number): Promise<void> {
  let command: string | undefined
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(timeoutError(timeout)), timeout)
    })
    command = (await Promise.race([client.query({ text: "commit" }), late])).command
  } catch (error) {
    if (isServerError(error)) throw error
    throw new MillraceError(
      "MILLRACE_COMMIT_UNKNOWN",
      "The connection was lost while a transaction was being committed.",
      { cause: error },
    )
  } finally {
    clearTimeout(timer)
  }
  if (command === "ROLLBACK") {
    throw new MillraceError(
      "MILLRACE_ROLLED_BACK",
      "An error inside the transaction was swallowed, so PostgreSQL rolled everything back instead of committing. " +
        "Let the error through, or use a savepoint around the statement that may fail.",
    )
  }
}

/** int8 as number, JSON parsed, timestamps as Date: whatever parsers the caller has set on the driver for itself. */
const types = {
  getTypeParser(oid: number, format?: string) {
    if (oid === 20) return Number
    if (oid === 114 || oid === 3802) return JSON.parse
    if (oid === 1184) return (text: string) => new Date(text)
    return pg.types.getTypeParser(oid, format as "text")
  },
}

const reconnect = { initial: 100, factor: 2, max: 5_000, jitter: "full" } as const

/**
 * A listening session proves itself: every few seconds it must answer on its own connection, else it is thrown away and
 * opened anew. The server, for its part, drops it when nothing is read for a while, since a frozen listener would hold
 * back vacuum for the whole database.
 */
function listen(config: object | undefined, channel: string, events: ListenEvents): Listening {
  const stop = new AbortController()
  const finished = (async () => {
    for (let failures = 0; !stop.signal.aborted;) {
      const started = Date.now()
      const error = await session(config, channel, events, stop.signal).catch((reason: unknown) => reason)
      if (stop.signal.aborted) return
      events.lost(error)
      failures = Date.now() - started > 10_000 ? 1 : failures + 1
      await abortableSleep(50 + backoffDelay(reconnect, failures), stop.signal)
    }
  })()
  return {
    async close() {
      stop.abort()
      await finished
    },
  }
}

const proofEvery = 4_000
const proofWithin = 3_000

/** One session, from connecting to its loss. Resolves or rejects with why it ended. */
async function session(
  config: object | undefined,
  channel: string,
  events: ListenEvents,
  signal: AbortSignal,
): Promise<unknown> {
  const client = new pg.Client({
    ...config,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    application_name: "millrace listen",
  })
  const lost = new Promise<unknown>((resolve) => {
    client.on("error", resolve)
    client.on("end", () => resolve(new Error("the listening connection was closed")))
  })
  client.on("notification", (message) => events.message(message.payload ?? ""))
  try {
    await client.connect()
    await client.query("set tcp_user_timeout = '5s'").catch(() => {})
    await client.query(`listen "${channel}"`)
    events.listening()
    for (;;) {
      const ended = await Promise.race([lost, abortableSleep(proofEvery, signal).then(() => undefined)])
      if (ended !== undefined || signal.aborted) return ended
      await proof(client, channel, lost)
    }
  } finally {
    await farewell(client)
  }
}

async function proof(client: pg.Client, channel: string, lost: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timeoutError(proofWithin)), proofWithin)
  })
  try {
    const answer = client.query<{ name: string }>("select pg_listening_channels() as name")
    const rows = await Promise.race([answer.then((result) => result.rows), late, lost.then(() => [])])
    if (!rows.some((row) => row.name === channel)) throw new Error("the session does not listen any more")
  } finally {
    clearTimeout(timer)
  }
}

/** Ends the session politely when it answers, and cuts it when it does not. */
async function farewell(client: pg.Client): Promise<void> {
  const stream = (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream
  const ended = client.end().catch(() => {})
  const timer = setTimeout(() => stream.destroy(), 500)
  let late: NodeJS.Timeout | undefined
  await Promise.race([ended, new Promise((resolve) => (late = setTimeout(resolve, 1_000)))])
  clearTimeout(timer)
  clearTimeout(late)
}
