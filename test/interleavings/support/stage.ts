// A schema of its own, sessions that step through it one statement at a time, and the few nouns that the tests speak of:
// members (workers' rows), claims, settlements, the one row of a job.
import { randomBytes, randomUUID } from "node:crypto"
import { Millrace, type MillraceOptions } from "millrace"
import { Worker, type WorkerOptions } from "millrace/worker"
import pg from "pg"
import type { TestDatabase } from "../../support/database.ts"
import type { Context } from "../../../src/client/context.ts"
import { EventHub } from "../../../src/client/hub.ts"
import { Notices } from "../../../src/client/notices.ts"
import { insert, Pusher } from "../../../src/client/pusher.ts"
import { Waiter } from "../../../src/client/waiter.ts"
import type { Connection, Database } from "../../../src/model/database.ts"
import { defineJob, preparePush } from "../../../src/model/definition.ts"
import type { NewJob } from "../../../src/model/job.ts"
import type { PushOptions } from "../../../src/model/job-options.ts"
import { silent } from "../../../src/model/log.ts"
import { parseQueue } from "../../../src/model/queue.ts"
import { fromPool } from "../../../src/postgres/adapters/pg.ts"
import { ensurePartitions } from "../../../src/postgres/history.ts"
import {
  cycle,
  noFloors,
  type ClaimedRow,
  type CycleSummary,
  type Floors,
  type Settlement,
} from "../../../src/postgres/jobs.ts"
import { builtInTables, migrate } from "../../../src/postgres/migrate.ts"
import { declareQueue } from "../../../src/postgres/queues.ts"
import { names, type Names } from "../../../src/postgres/sql.ts"
import { registerWorker } from "../../../src/postgres/workers.ts"
import type { Identity } from "../../../src/worker/home.ts"
import { openSession, type Session } from "./session.ts"
import { Tap } from "./tap.ts"
import { until } from "./until.ts"

/** A claim, as everything that is said about an attempt names it. */
export interface Claim {
  readonly id: string
  readonly token: string
}

export interface CallOptions {
  readonly on?: Connection
  readonly queue?: string
  readonly settle?: readonly Settlement[]
  readonly limit?: number
  readonly token?: string
  readonly except?: readonly string[]
  readonly floors?: Floors
}

export interface Called {
  readonly token: string
  readonly claimed: ClaimedRow[]
  readonly claims: Claim[]
  readonly ids: string[]
  readonly summary: CycleSummary
}

/** The one row that a job has, wherever it is. */
export interface Row {
  state: string
  finished: boolean
  token: string | null
  claims: number
  attempts: number
  crashes: number
  priority: number
  queue: string
  result: unknown
  errors: { message?: string; code?: string }[] | null
  cancel: { reason: string | null } | null
  blocked_by: string | null
  worker: string | null
}

type Job = PushOptions & { readonly name?: string; readonly payload?: unknown }

const databases = new WeakMap<TestDatabase, Database>()

/** Opens a stage; `await using` takes it down again. */
export async function openStage(database: TestDatabase): Promise<Stage> {
  const all = names(`s_${randomBytes(6).toString("hex")}`)
  const db = databases.get(database) ?? fromPool(database.pool)
  databases.set(database, db)
  await migrate(db, all)
  for (const [plugin, steps] of Object.entries(builtInTables)) await migrate(db, all, {}, plugin, steps)
  await ensurePartitions(db, all, [86_400])
  await declareQueue(db, all, parseQueue("default"), false)
  return new Stage(database, db, all)
}

export class Stage implements AsyncDisposable {
  readonly database: TestDatabase
  readonly db: Database
  readonly names: Names
  readonly #taps: Tap[] = []
  readonly #closers: (() => Promise<unknown>)[] = []

  constructor(database: TestDatabase, db: Database, all: Names) {
    this.database = database
    this.db = db
    this.names = all
  }

  onClose(close: () => Promise<unknown>): void {
    this.#closers.push(close)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tap of this.#taps) tap.releaseAll()
    for (const close of this.#closers.toReversed()) await close()
    await this.db.query(`drop schema ${this.names.schema} cascade`)
  }

  async session(): Promise<Session> {
    const session = await openSession(this.database.url, this.db)
    this.onClose(() => session.close())
    return session
  }

  async sessions(): Promise<[Session, Session, Session, Session]> {
    return [await this.session(), await this.session(), await this.session(), await this.session()]
  }

  /** Resolves once some backend of this database waits for a lock (the file's other tests are over by then). */
  async somebodyWaits(holder?: Session): Promise<void> {
    await until(`somebody waits for ${holder ? `backend ${holder.pid}` : "a lock"}`, async () => {
      const rows = await this.sql<{ by: number[] }>(
        `select pg_blocking_pids(pid) as by from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      )
      return rows.some(({ by }) => (holder ? by.includes(holder.pid) : by.length > 0))
    })
  }

  async sql<R = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<R[]> {
    return (await this.db.query<R>(text.replaceAll("$s.", `${this.names.schema}.`), values)).rows
  }

  // ---- jobs ---------------------------------------------------------------------------------------------------------

  newJob({ name = "job", payload = null, ...options }: Job = {}): NewJob {
    return preparePush(defineJob({ name }), options, { maxPayload: 262_144 })(payload) as NewJob
  }

  /** Pushes and commits (or, on a session in a transaction, does not), one statement for all. Returns the ids. */
  async push(jobs: Job | readonly Job[] = {}, on: Connection = this.db): Promise<string[]> {
    const made = (Array.isArray(jobs) ? jobs : [jobs]).map((job: Job) => this.newJob(job))
    await insert(on, this.names, made, false)
    return made.map((job) => job.id)
  }

  async pushOne(job: Job = {}, on: Connection = this.db): Promise<string> {
    return (await this.push(job, on))[0]!
  }

  /** The one row of a job. Fails when there is none, or more than one: nothing is ever both alive and finished. */
  async row(id: string): Promise<Row> {
    const rows = await this.rows(id)
    if (rows.length !== 1) throw new Error(`job ${id} has ${rows.length} rows: ${JSON.stringify(rows)}`)
    return rows[0]!
  }

  rows(id: string): Promise<Row[]> {
    return this.sql<Row>(
      `select state::text, finished_at is not null as finished, token, claims::integer, attempts, crashes, priority, queue,
         result, errors, cancel, blocked_by, worker from $s.all_jobs where id = $1`,
      [id],
    )
  }

  async state(id: string): Promise<string> {
    return (await this.row(id)).state
  }

  /** States of jobs, each of which must have exactly one row. */
  async states(ids: readonly string[]): Promise<string[]> {
    const states: string[] = []
    for (const id of ids) states.push(await this.state(id))
    return states
  }

  /** Resolves once a job is in one of these states. */
  untilState(id: string, ...states: string[]): Promise<Row> {
    return until(`job ${id} is ${states.join(" or ")}`, async () => {
      const [row] = await this.rows(id)
      return row && states.includes(row.state) ? row : undefined
    })
  }

  // ---- members, claims, settlements ---------------------------------------------------------------------------------

  /** A worker's row, without a worker. */
  async member(id: string = randomUUID(), leaseMs = 600_000, handlers: readonly string[] = []): Promise<Identity> {
    const member = { incarnation: randomUUID(), id }
    const row = { ...member, hostname: "here", pid: 1, tags: [], handlers }
    const taken = await registerWorker(this.db, this.names, row, leaseMs)
    if (taken !== undefined) throw new Error(`worker id ${id} is taken`)
    return member
  }

  /** The lease ends now. */
  async expire({ incarnation }: Identity): Promise<void> {
    await this.sql(`update $s.workers set expires_at = clock_timestamp() where incarnation = $1`, [incarnation])
  }

  async memberExists({ incarnation }: Identity): Promise<boolean> {
    return (await this.sql("select from $s.workers where incarnation = $1", [incarnation])).length > 0
  }

  /** One call of `cycle_1`. */
  async call(member: Identity, options: CallOptions): Promise<Called> {
    const token = options.token ?? randomUUID()
    const { claimed, summary } = await cycle(options.on ?? this.db, this.names, {
      worker: member.incarnation,
      workerId: member.id,
      queue: options.queue ?? "default",
      settle: options.settle ?? [],
      token,
      limit: options.limit ?? 0,
      suspect: (options.limit ?? 0) > 0,
      except: options.except ?? null,
      floors: options.floors ?? noFloors,
    })
    const ids = claimed.map(({ id }) => id)
    return { token, claimed, claims: ids.map((id) => ({ id, token })), ids, summary }
  }

  async claim(member: Identity, limit = 100, on?: Connection): Promise<Claim[]> {
    return (await this.call(member, { limit, ...(on && { on }) })).claims
  }

  /** The summary of a call that only settles, its stale claims by their jobs' ids. */
  async settle(member: Identity, settle: readonly Settlement[], on?: Connection) {
    const { summary } = await this.call(member, { settle, ...(on && { on }) })
    return { ...summary, stale: summary.stale && summary.stale.map(([id]) => id) }
  }

  // ---- the package --------------------------------------------------------------------------------------------------

  /** An app of the package's, on a connection string. */
  app(options: MillraceOptions = {}): Millrace {
    const database = options.pool ? {} : { dsn: this.database.url }
    const app = new Millrace({ schema: this.names.plain, logger: false, ...database, ...options })
    this.onClose(() => app.close())
    return app
  }

  /** An app whose statements a test can hold up, lose, or count. */
  tappedApp(options: MillraceOptions = {}): { app: Millrace; tap: Tap } {
    const pool = new pg.Pool({ connectionString: this.database.url, max: 8 })
    pool.on("error", () => {})
    this.onClose(() => pool.end())
    const tap = new Tap(pool)
    this.#taps.push(tap)
    const app = this.app({ pool: tap.pool, ...options })
    return { app, tap }
  }

  /** Starts a worker of the package's; it stops, at the latest, with the stage. */
  async worker(app: Millrace, options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(app, { shutdownTimeout: 0, grace: "100ms", ...options })
    this.onClose(() => worker.stop())
    await worker.start()
    return worker
  }

  /** The parts of an app, from the sources. */
  context(db: Database = this.db): Context {
    const notices = new Notices(db, this.names, silent, false)
    const pusher = new Pusher(db, this.names, notices, 5_000)
    const waiter = new Waiter(db, this.names, notices)
    return {
      db,
      names: this.names,
      log: silent,
      notices,
      hub: new EventHub(notices, silent),
      plugins: [],
      pusher,
      waiter,
      queues: [],
      recipe: undefined,
      maxPayload: 262_144,
    }
  }
}

export const succeeded = ({ id, token }: Claim, result?: unknown): Settlement => ({
  id,
  token,
  state: "succeeded",
  charge: 1,
  result: result === undefined ? undefined : JSON.stringify(result),
})

const error = (message: string) => JSON.stringify({ name: "Error", attempt: 1, message })

export const failed = ({ id, token }: Claim, message = "broken"): Settlement => ({
  id,
  token,
  state: "failed",
  charge: 1,
  error: error(message),
})

export const retrying = ({ id, token }: Claim, message = "broken", delayMs = 600_000): Settlement => ({
  id,
  token,
  state: "retrying",
  charge: 1,
  error: error(message),
  delayMs,
})

export const snoozed = ({ id, token }: Claim, delayMs = 600_000): Settlement => ({
  id,
  token,
  state: "scheduled",
  charge: 0,
  delayMs,
})

export const handedBack = ({ id, token }: Claim): Settlement => ({ id, token, state: "pending", charge: 0 })

export const parked = ({ id, token }: Claim): Settlement => ({
  id,
  token,
  state: "blocked",
  charge: 0,
  blockedBy: "handler",
})
