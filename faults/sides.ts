// The systems that are compared under SIGKILL, SIGSTOP and restarts, each set to notice lost workers as soon as it can.
import { Millrace, defineJob } from "millrace"
import { Worker } from "millrace/worker"
import { importPeer } from "../bench/peers.ts"
import { timing } from "./timing.ts"

export type SideName = "millrace" | "pg-boss" | "graphile-worker"

export interface Load {
  readonly mark: string
  readonly ms: number
}

/** Says who ran it, where the system stores what a handler returns. */
export type Handle = (load: Load) => Promise<{ readonly by: string; readonly run: number }>

interface Pushing {
  push(load: Load): Promise<unknown>
  close(): Promise<unknown>
}

export interface Side {
  /** How it finds lost workers, for the report. */
  readonly setting: string
  migrate(url: string): Promise<void>
  pusher(url: string): Promise<Pushing>
  /** Starts a worker; resolves to what stops it. */
  work(url: string, handle: Handle): Promise<() => Promise<unknown>>
  /** Jobs that are not finished. */
  readonly left: string
  /** Per job, what its finished run returned: mark, by, run. Undefined: it stores none. */
  readonly results: string | undefined
}

const concurrency = 8
const job = defineJob<Load, { by: string; run: number }>({ name: "job", maxAttempts: 20 })

const millrace: Side = {
  setting: `lease ${timing.lease} ms`,
  async migrate(url) {
    const app = new Millrace({ dsn: url, logger: false })
    await app.migrate()
    await app.declareQueue({ name: "default", concurrency })
    await app.close()
  },
  async pusher(url) {
    const app = new Millrace({ dsn: url, logger: false })
    return { push: (load) => app.push(job, load), close: () => app.close() }
  },
  async work(url, handle) {
    const { lease, heartbeat, sweep } = timing
    const app = new Millrace({ dsn: url, logger: false })
    const worker = new Worker(app, { handlers: [job.handler(handle)], lease, heartbeat, sweep, maxCrashes: 20 })
    await worker.start()
    return async () => {
      await worker.stop()
      await app.close()
    }
  },
  left: "select count(*)::int as n from millrace.jobs",
  results: `select payload->>'mark' as mark, result->>'by' as by, (result->>'run')::int as run from millrace.jobs_history where state = 'succeeded'`,
}

interface Boss {
  start(): Promise<unknown>
  stop(options: object): Promise<void>
  on(event: "error", listener: (error: Error) => void): unknown
  createQueue(name: string, options: object): Promise<void>
  send(name: string, data: Load): Promise<unknown>
  work(name: string, options: object, handler: (jobs: { data: Load }[]) => Promise<unknown>): Promise<unknown>
}

async function boss(url: string, options: object): Promise<Boss> {
  const { PgBoss } = (await importPeer("pg-boss")) as { PgBoss: new (options: object) => Boss }
  const made = new PgBoss({ connectionString: url, ...options })
  made.on("error", () => {})
  await made.start()
  return made
}

const pgBoss: Side = {
  setting: "heartbeatSeconds 10, its least; supervised each second",
  async migrate(url) {
    const one = await boss(url, { supervise: false, schedule: false })
    await one.createQueue("job", { retryLimit: 20, retryDelay: 0, heartbeatSeconds: 10, expireInSeconds: 600 })
    await one.stop({ graceful: false })
  },
  async pusher(url) {
    const one = await boss(url, { supervise: false, schedule: false })
    return { push: (load) => one.send("job", load), close: () => one.stop({ graceful: false }) }
  },
  async work(url, handle) {
    const one = await boss(url, {
      superviseIntervalSeconds: 1,
      monitorIntervalSeconds: 1,
      maintenanceIntervalSeconds: 1,
    })
    const options = { batchSize: 1, localConcurrency: concurrency, pollingIntervalSeconds: 0.5 }
    await one.work("job", options, ([only]) => handle(only!.data))
    return () => one.stop({ graceful: true, timeout: 10_000 })
  },
  left: "select count(*)::int as n from pgboss.job where name = 'job' and state < 'completed'",
  results: `select data->>'mark' as mark, output->>'by' as by, (output->>'run')::int as run from pgboss.job where name = 'job' and state = 'completed'`,
}

interface Graphile {
  makeWorkerUtils(options: object): Promise<{ migrate(): Promise<void>; addJob(task: string, payload: Load): Promise<unknown>; release(): Promise<void> }> // prettier-ignore
  run(options: object): Promise<{ stop(): Promise<void> }>
  Logger: new (factory: () => () => void) => unknown
}

async function graphile(url: string) {
  process.env.NO_LOG_SUCCESS = "1"
  const library = (await importPeer("graphile-worker")) as Graphile
  return { library, shared: { connectionString: url, logger: new library.Logger(() => () => {}) } }
}

const graphileWorker: Side = {
  setting: "locks of lost workers run out after 4 h, which cannot be set",
  async migrate(url) {
    const { library, shared } = await graphile(url)
    const utils = await library.makeWorkerUtils(shared)
    await utils.migrate()
    await utils.release()
  },
  async pusher(url) {
    const { library, shared } = await graphile(url)
    const utils = await library.makeWorkerUtils(shared)
    return { push: (load) => utils.addJob("job", load), close: () => utils.release() }
  },
  async work(url, handle) {
    const { library, shared } = await graphile(url)
    const options = { concurrency, pollInterval: 500, noHandleSignals: true, parsedCronItems: [] }
    const taskList = { job: async (load: Load) => void (await handle(load)) }
    const runner = await library.run({ ...shared, ...options, taskList })
    return () => runner.stop()
  },
  left: "select count(*)::int as n from graphile_worker._private_jobs",
  results: undefined,
}

export const sides: Readonly<Record<SideName, Side>> = {
  millrace,
  "pg-boss": pgBoss,
  "graphile-worker": graphileWorker,
}
