// graphile-worker at its best: the batching preset of its own performance test (24 jobs at once, 500 fetched ahead,
// completions batched without delay), without that test's refetch delay, which costs up to a poll interval of latency.
import { importPeer, peerVersions } from "../peers.ts"
import type { Handle, Payload, Producer, Running, Side, WorkerOptions } from "../side.ts"

interface GraphileWorker {
  makeWorkerUtils(options: SharedOptions): Promise<WorkerUtils>
  run(options: SharedOptions & { taskList: Record<string, Handle>; parsedCronItems: [] }): Promise<Running>
  Logger: new (factory: () => (level: string, message: string) => void) => unknown
}

interface SharedOptions {
  noHandleSignals?: boolean
  preset: { worker: Record<string, unknown> }
}

interface WorkerUtils {
  migrate(): Promise<void>
  addJob(task: string, payload: Payload): Promise<unknown>
  addJobs(specs: { identifier: string; payload: Payload }[]): Promise<unknown>
  release(): Promise<void>
}

const CONCURRENCY = 24

export async function load(): Promise<Side> {
  process.env.NO_LOG_SUCCESS = "1" // else every job is logged; read once, when the module loads
  const library = (await importPeer("graphile-worker")) as GraphileWorker
  return {
    versions: peerVersions("graphile-worker"),
    // A success deletes the row and a failure keeps it: an empty table means that all jobs succeeded.
    sql: {
      unfinished: "select exists (select from graphile_worker._private_jobs) as found",
      waiting: "select count(*)::int as count from graphile_worker._private_jobs",
      succeeded: null,
    },
    async migrate(url) {
      const utils = await library.makeWorkerUtils(shared(library, url))
      await utils.migrate()
      await utils.release()
    },
    producer: (url) => producer(library, url),
    worker: (url, options, handle) => worker(library, url, options, handle),
  }
}

async function producer(library: GraphileWorker, url: string): Promise<Producer> {
  const utils = await library.makeWorkerUtils(shared(library, url))
  return {
    push: (payload) => utils.addJob("noop", payload),
    pushMany: (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: "noop", payload }))),
    close: () => utils.release(),
  }
}

function worker(library: GraphileWorker, url: string, options: WorkerOptions, handle: Handle): Promise<Running> {
  const concurrentJobs = options.concurrency ?? CONCURRENCY
  return library.run({
    ...shared(library, url, {
      concurrentJobs,
      maxPoolSize: concurrentJobs + 1,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    }),
    noHandleSignals: true,
    taskList: { noop: (payload) => handle(payload) },
    parsedCronItems: [],
  })
}

function shared(library: GraphileWorker, url: string, settings: Record<string, unknown> = {}): SharedOptions {
  const logger = new library.Logger(() => (level, message) => {
    if (level === "error" || level === "warning") process.stderr.write(`graphile-worker: ${message}\n`)
  })
  return { preset: { worker: { connectionString: url, logger, ...settings } } }
}
