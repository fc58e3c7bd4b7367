// What every fault test needs: an installation of its own, workers in processes of their own, a proxy between, and an end
// that leaves nothing behind.
import { randomBytes } from "node:crypto"
import pg from "pg"
import { onTestFinished, vi } from "vitest"
import { Millrace, type JobRecord, type JobState, type MillraceOptions, type QueueOptions } from "millrace"
import { TcpProxy } from "../support/tcp-proxy.ts"
import { until, within } from "../support/until.ts"
import { WorkerProcess, type Event } from "../support/worker-process.ts"
import type { WorkerPlan } from "./programs/worker.ts"

vi.setConfig({ testTimeout: 120_000 }) // an outer bound; what a test waits for has its own

/** Claims that nobody but a test's own fault can end; nothing waits for such a lease to run out. */
const steady = { heartbeat: 500, lease: "60s", sweep: 200, queuePoll: 300 } as const

/** For a worker that is to be found dead soon. */
export const shortLived = { ...steady, heartbeat: 200, lease: 1_000 } as const

export interface StoredJob {
  id: string
  state: JobState
  attempts: number
  crashes: number
  claims: number
  token: string | null
  worker: string | null
}

export interface WorkerChoices {
  readonly app?: Partial<WorkerPlan["app"]>
  readonly worker?: WorkerPlan["worker"]
  /** Reaches the database through this proxy. */
  readonly proxy?: TcpProxy
  /** Has a pool instead of the connection string. */
  readonly pooled?: boolean
  /** Does not wait for it to be ready. */
  readonly waits?: false
}

export class Scene {
  readonly schema = `f_${randomBytes(5).toString("hex")}`
  readonly effects = `"${this.schema}_effects"`
  readonly workers: WorkerProcess[] = []
  /** The application's side, in this process. */
  readonly app: Millrace
  /** For looking behind the scenes. */
  readonly pool: pg.Pool
  readonly #url: string
  readonly #proxies: TcpProxy[] = []
  readonly #apps: Millrace[] = []

  private constructor(url: string) {
    this.#url = url
    this.app = this.newApp()
    this.pool = new pg.Pool({ connectionString: url, max: 3 })
    this.pool.on("error", () => {})
  }

  /** Makes an installation with these queues in a schema of its own; all of it ends with the test. */
  static async open(url: string, queues: readonly QueueOptions[] = []): Promise<Scene> {
    const scene = new Scene(url)
    onTestFinished(() => scene.#close())
    await scene.app.migrate()
    for (const queue of [{ name: "default" }, ...queues])
      await scene.app.declareQueue({ pollInterval: 200, ...queue }, { upsert: true })
    await scene.pool.query(`create table ${scene.effects} (job uuid not null, n integer not null, by text not null)`)
    return scene
  }

  /** Another app on the same installation. */
  newApp(options: Partial<MillraceOptions> = {}): Millrace {
    const app = new Millrace({ dsn: this.#url, schema: this.schema, logger: false, ...options })
    this.#apps.push(app)
    return app
  }

  async newProxy(): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(this.#url)
    this.#proxies.push(proxy)
    return proxy
  }

  /** Starts a worker in a process of its own; its id is its label. */
  async worker(label: string, { app, worker, proxy, pooled, waits }: WorkerChoices = {}): Promise<WorkerProcess> {
    const plan: WorkerPlan = {
      app: { dsn: proxy ? proxy.through(this.#url) : this.#url, schema: this.schema, ...app },
      worker: { id: label, ...steady, ...worker },
      pooled,
      effects: this.effects,
    }
    const started = this.process("worker", label, plan)
    if (waits !== false) await started.ready()
    return started
  }

  process(program: string, label: string, plan: object): WorkerProcess {
    const started = new WorkerProcess(program, label, plan)
    this.workers.push(started)
    return started
  }

  get dsn(): string {
    return this.#url
  }

  /** Every run of this job by any worker's handler, in order of time. */
  runs(job: string): { by: string; event: Event<"started"> }[] {
    return this.workers
      .flatMap((worker) => worker.all("started", job).map((event) => ({ by: worker.label, event })))
      .sort((a, b) => a.event.at - b.event.at)
  }

  /** How often handlers were started, by job. */
  starts(): Map<string, number> {
    return count(this.workers.flatMap((worker) => worker.all("started")))
  }

  /** How often a run was told that its worker stops, by job. */
  handBacks(): Map<string, number> {
    const stopped = (event: Event<"aborted">) => event.code === "MILLRACE_SHUTDOWN"
    return count(this.workers.flatMap((worker) => worker.all("aborted").filter(stopped)))
  }

  async job(id: string): Promise<StoredJob | undefined> {
    const { rows } = await this.pool.query<StoredJob>(
      `select id, state::text, attempts, crashes, claims::int, token, worker from ${this.schema}.all_jobs where id = $1`,
      [id],
    )
    return rows[0]
  }

  /** Waits until nothing is left to do. */
  async drained(limit?: number): Promise<void> {
    const empty = until("every job has finished", async () => (await this.unfinished()) === 0, limit)
    await empty.catch(async (error: unknown) => {
      const { rows } = await this.pool.query(`select * from ${this.schema}.jobs limit 5`)
      throw new Error(`${(error as Error).message}; left are ${JSON.stringify(rows)}\n${this.#lastWords()}`, {
        cause: error,
      })
    })
  }

  async unfinished(): Promise<number> {
    const { rows } = await this.pool.query<{ n: number }>(`select count(*)::int as n from ${this.schema}.jobs`)
    return rows[0]!.n
  }

  /** Waits until the job is in this state. */
  async reaches(id: string, state: JobState, limit?: number): Promise<JobRecord> {
    let last: JobRecord | undefined
    await until(
      `job ${id} is ${state}`,
      async () => {
        last = await this.app.job(id).get()
        return last?.state === state
      },
      limit,
    ).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}; it is ${JSON.stringify(last)}\n${this.#lastWords()}`, {
        cause: error,
      })
    })
    return last!
  }

  /** Jobs in each state, finished ones too. */
  async states(): Promise<Partial<Record<JobState, number>>> {
    const { rows } = await this.pool.query<{ state: JobState; n: number }>(
      `select state::text, count(*)::int as n from ${this.schema}.all_jobs group by 1`,
    )
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
  }

  /** Workers that are entered, by id. */
  async incarnations(): Promise<Record<string, string>> {
    const { rows } = await this.pool.query<{ id: string; incarnation: string }>(
      `select id, incarnation from ${this.schema}.workers where expires_at > now()`,
    )
    return Object.fromEntries(rows.map(({ id, incarnation }) => [id, incarnation]))
  }

  /** Everything that the history holds about a job. */
  async history(id: string): Promise<Record<string, unknown>[]> {
    const { rows } = await this.pool.query<Record<string, unknown>>(
      `select * from ${this.schema}.jobs_history where id = $1`,
      [id],
    )
    return rows
  }

  async effectsOf(job: string): Promise<number> {
    const { rows } = await this.pool.query<{ n: number }>(
      `select count(*)::int as n from ${this.effects} where job = $1`,
      [job],
    )
    return rows[0]!.n
  }

  #lastWords(): string {
    return this.workers.map((worker) => `--- ${worker.label}\n${worker.lastWords()}`).join("\n")
  }

  async #close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.end()))
    for (const proxy of this.#proxies) await proxy.close()
    // An app that cannot reach its database takes its time; the test has failed already then.
    const closed = Promise.all([...this.#apps.map((app) => app.close()), this.pool.end()])
    await within(10_000, "the apps close", closed).catch(() => {})
  }
}

function count(events: readonly { readonly job: string }[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { job } of events) counts.set(job, (counts.get(job) ?? 0) + 1)
  return counts
}
