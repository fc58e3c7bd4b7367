// A schema of its own, an app that reaches the database directly, and worker processes: taken down again in any case.
import { randomBytes } from "node:crypto"
import { Millrace, type MillraceOptions } from "millrace"
import { Worker, type WorkerOptions } from "millrace/worker"
import pg from "pg"
import { startProxy, type TcpProxy } from "../../support/tcp-proxy.ts"
import { startWorkerProcess, type WorkerProcess } from "../../support/worker-process.ts"
import { until } from "../../interleavings/support/until.ts"
import { task, type Plan, type Task } from "../programs/protocol.ts"

/** A lease of a second, renewed and looked for five times as often; jobs in hand are few, so that who has which is clear. */
export const quick = { heartbeat: "200ms", lease: "1s", sweep: "200ms", queuePoll: "1s" } as const

/** The one row that a job has, wherever it is. */
export interface Row {
  readonly state: string
  readonly attempts: number
  readonly crashes: number
  readonly claims: number
  readonly token: string | null
  readonly result: unknown
  readonly errors: readonly { readonly code?: string; readonly message?: string }[] | null
  readonly worker: string | null
  readonly finished_at: Date | null
}

export interface StartOptions {
  /** Reach the database this way instead: through a proxy. */
  readonly dsn?: string
  readonly app?: Plan["app"]
  readonly worker?: Plan["worker"]
}

export class Stage implements AsyncDisposable {
  readonly url: string
  readonly schema = `f_${randomBytes(6).toString("hex")}`
  readonly pool: pg.Pool
  readonly app: Millrace
  readonly #closers: (() => Promise<unknown>)[] = []

  constructor(url: string) {
    this.url = url
    this.pool = new pg.Pool({ connectionString: url, max: 4 })
    this.pool.on("error", () => {})
    this.onClose(() => this.pool.end())
    this.app = this.newApp()
  }

  onClose(close: () => Promise<unknown>): void {
    this.#closers.push(close)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.toReversed()) await close()
  }

  newApp(options: MillraceOptions = {}): Millrace {
    const app = new Millrace({ dsn: this.url, schema: this.schema, logger: false, ...options })
    this.onClose(() => app.close())
    return app
  }

  async proxy(): Promise<TcpProxy> {
    const proxy = await startProxy(this.url)
    this.onClose(async () => proxy[Symbol.asyncDispose]())
    return proxy
  }

  /** Starts a worker's process, without waiting for it. */
  launch({ dsn = this.url, app, worker }: StartOptions = {}): WorkerProcess {
    const started = startWorkerProcess({
      app: { dsn, schema: this.schema, ...app },
      worker: { ...quick, ...worker },
    })
    this.onClose(async () => started[Symbol.asyncDispose]())
    return started
  }

  async worker(options: StartOptions = {}): Promise<WorkerProcess> {
    const started = this.launch(options)
    await started.ready
    return started
  }

  /** A worker in this process. */
  async innerWorker(app: Millrace, options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(app, { ...quick, shutdownTimeout: 0, grace: "100ms", ...options })
    this.onClose(() => worker.stop())
    await worker.start()
    return worker
  }

  async push(...tasks: Task[]): Promise<string[]> {
    return (await this.app.pushMany(task, tasks)).map(({ id }) => id)
  }

  async pushOne(what: Task): Promise<string> {
    return (await this.app.push(task, what)).id
  }

  async sql<R = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.pool.query(text.replaceAll("$s.", `${this.schema}.`), values)).rows as R[]
  }

  /** The one row of a job. Fails when there is none, or more than one: nothing is ever both alive and finished. */
  async row(id: string): Promise<Row> {
    const rows = await this.sql<Row>(
      `select state::text, attempts, crashes, claims::integer, token, result, errors, worker, finished_at
       from $s.all_jobs where id = $1`,
      [id],
    )
    if (rows.length !== 1) throw new Error(`job ${id} has ${rows.length} rows: ${JSON.stringify(rows)}`)
    return rows[0]!
  }

  /** Resolves once a job is in one of these states. */
  untilState(id: string, states: string | readonly string[], withinMs?: number): Promise<Row> {
    return until(
      `job ${id} is ${states}`,
      async () => {
        const row = await this.row(id)
        return [states].flat().includes(row.state) ? row : undefined
      },
      withinMs,
    )
  }

  /** Waits until every job that is not finished is none of ours, and returns the rows of these. */
  async finished(ids: readonly string[], withinMs = 30_000): Promise<Row[]> {
    await until(
      "all jobs are finished",
      async () => (await this.sql("select from $s.jobs where id = any($1)", [ids])).length === 0,
      withinMs,
    )
    return Promise.all(ids.map((id) => this.row(id)))
  }

  /** How many jobs there are by state, attempts, crashes: "succeeded 1 0". */
  async tally(): Promise<Record<string, number>> {
    const rows = await this.sql<{ what: string; n: number }>(
      `select concat_ws(' ', state, attempts, crashes) as what, count(*)::integer as n from $s.all_jobs group by 1`,
    )
    return Object.fromEntries(rows.map(({ what, n }) => [what, n]))
  }

  async incarnations(): Promise<{ incarnation: string; id: string; pid: number; alive: boolean }[]> {
    return this.sql(`select incarnation, id, pid, expires_at > now() as alive from $s.workers order by started_at`)
  }
}

/** Opens a stage; `await using` takes it down again. */
export async function openStage(url: string, queue: { concurrency?: number } = {}): Promise<Stage> {
  const stage = new Stage(url)
  try {
    await stage.app.migrate()
    await stage.app.declareQueue({ name: "default", pollInterval: "500ms", claimAhead: 0, ...queue })
    await stage.sql("create table $s.effects (id uuid not null)")
    return stage
  } catch (error) {
    await stage[Symbol.asyncDispose]()
    throw error
  }
}
