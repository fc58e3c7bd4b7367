// What an integration test needs around a database of its own: apps, workers with short clocks, and one close for all.
import { setTimeout as sleep } from "node:timers/promises"
import { Millrace, type Logger, type MillraceOptions } from "millrace"
import { Worker, type WorkerOptions } from "millrace/worker"
import type pg from "pg"
import { testDatabase } from "./database.ts"

export interface LogLine {
  readonly level: keyof Logger
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>> | undefined
}

/** Options of `fixture().app`, beside those of Millrace. */
export interface AppOptions extends Omit<MillraceOptions, "logger"> {
  readonly logger?: Logger | false
  /** Whether to create the tables. Default true. */
  readonly migrate?: boolean
}

export interface Fixture extends AsyncDisposable {
  readonly url: string
  /** For looking at the tables, and for transactions of a test's own. */
  readonly pool: pg.Pool
  /** A migrated app on this database. */
  app(options?: AppOptions): Promise<Millrace>
  /** A started worker. */
  worker(app: Millrace, options?: WorkerOptions): Promise<Worker>
  /** Stops the workers, closes the apps and drops the database. */
  close(): Promise<void>
}

/** A worker that notices everything soon; a lease that a busy machine does not lose. */
export const shortClocks = {
  heartbeat: "200ms",
  lease: "2s",
  queuePoll: "300ms",
  sweep: "300ms",
  shutdownTimeout: "5s",
} as const satisfies WorkerOptions

export async function fixture(): Promise<Fixture> {
  const database = await testDatabase()
  const apps: Millrace[] = []
  const workers: Worker[] = []
  const close = async () => {
    await Promise.all(workers.map((worker) => worker.stop()))
    await Promise.all(apps.map((app) => app.close()))
    await database.close()
  }
  return {
    url: database.url,
    pool: database.pool,
    async app({ migrate = true, ...options } = {}) {
      const given = { logger: false, ...(options.pool ? {} : { dsn: database.url }), ...options } as const
      const app = new Millrace(given)
      apps.push(app)
      if (migrate) await app.migrate()
      return app
    },
    async worker(app, options) {
      const worker = new Worker(app, { ...shortClocks, ...options })
      workers.push(worker)
      await worker.start()
      return worker
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** A logger that keeps what it was told, for tests about what is said. */
export function collector(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at =
    (level: keyof Logger) =>
    (message: string, fields?: Record<string, unknown>): void =>
      void lines.push({ level, message, fields })
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
}

/** Polls a condition until it holds (gives neither undefined, null nor false), and returns what it gave. */
export async function until<T>(
  condition: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  what: string,
  withinMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const found = await condition()
    if (found !== undefined && found !== null && found !== false) return found
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
    await sleep(5)
  }
}

/**
 * Until somebody waits for every job of a queue. Tests of the order await it before jobs may start: beginning to wait
 * changes a job's row, and a claim passes over rows that are being changed.
 */
export const waitedFor = (pool: pg.Pool, queue: string, schema = "millrace"): Promise<unknown> =>
  until(async () => {
    const { rows } = await pool.query(`select bool_and(awaited) as every from ${schema}.jobs where queue = $1`, [queue])
    return rows[0]?.every === true
  }, "every job is waited for")

/** A promise to be settled from outside: what a handler waits on, and what tells that it was reached. */
export interface Gate<T = void> {
  readonly opened: Promise<T>
  open(value: T): void
}

export function gate<T = void>(): Gate<T> {
  let open!: (value: T) => void
  const opened = new Promise<T>((resolve) => (open = resolve))
  return { opened, open }
}

/** What a promise was rejected with; fails when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string; cause?: unknown }> {
  return promise.then(
    (value) => Promise.reject(new Error(`not rejected, but resolved with ${JSON.stringify(value)}`)),
    (error: unknown) => error as Error,
  )
}
