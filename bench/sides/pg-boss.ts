// pg-boss at its best: LISTEN/NOTIFY on, three local workers that fetch 500 at a time and again at once while batches
// come back full. For a trickle of jobs one local worker is better: each notification wakes every one of them.
import { importPeer, peerVersions } from "../peers.ts"
import type { Handle, Payload, Producer, Running, Side, WorkerOptions } from "../side.ts"

interface PgBossModule {
  PgBoss: new (options: Record<string, unknown>) => PgBoss
}

interface PgBoss {
  on(event: "error", listener: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options: Record<string, unknown>): Promise<void>
  createQueue(name: string, options: Record<string, unknown>): Promise<void>
  send(name: string, data: Payload): Promise<string | null>
  insert(name: string, jobs: { data: Payload }[]): Promise<unknown>
  work(
    name: string,
    options: Record<string, unknown>,
    handler: (jobs: { data: Payload }[]) => Promise<void>,
  ): Promise<string>
}

const QUEUE = "noop"

export async function load(): Promise<Side> {
  const library = (await importPeer("pg-boss")) as PgBossModule
  return {
    versions: peerVersions("pg-boss"),
    sql: {
      unfinished: `select exists (select from pgboss.job where name = '${QUEUE}' and state < 'completed') as found`,
      waiting: `select count(*)::int as count from pgboss.job where name = '${QUEUE}' and state < 'completed'`,
      succeeded: `select count(*)::int as count from pgboss.job where name = '${QUEUE}' and state = 'completed'`,
    },
    async migrate(url) {
      const boss = await start(library, url, { supervise: false, schedule: false })
      await boss.createQueue(QUEUE, { notify: true })
      await boss.stop({ graceful: false })
    },
    producer: (url) => producer(library, url),
    worker: (url, options, handle) => worker(library, url, options, handle),
  }
}

async function producer(library: PgBossModule, url: string): Promise<Producer> {
  const boss = await start(library, url, { supervise: false, schedule: false, useListenNotify: true })
  return {
    push: (payload) => boss.send(QUEUE, payload),
    pushMany: (payloads) =>
      boss.insert(
        QUEUE,
        payloads.map((data) => ({ data })),
      ),
    close: () => boss.stop({ graceful: false }),
  }
}

async function worker(library: PgBossModule, url: string, options: WorkerOptions, handle: Handle): Promise<Running> {
  const boss = await start(library, url, { useListenNotify: true })
  const single = options.trickle === true || options.concurrency !== undefined
  const settings = { batchSize: 500, localConcurrency: single ? 1 : 3, burstWhenBatchFull: true }
  await boss.work(QUEUE, settings, (jobs) => runBatch(jobs, options.concurrency ?? jobs.length, handle))
  return { stop: () => boss.stop({ graceful: true, timeout: 10_000 }) }
}

/** pg-boss hands over a batch; how many of it run at once is the handler's own affair. */
async function runBatch(jobs: { data: Payload }[], concurrency: number, handle: Handle): Promise<void> {
  const rest = jobs.values()
  const lane = async () => {
    for (const job of rest) await handle(job.data)
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, jobs.length) }, lane))
}

async function start(library: PgBossModule, url: string, options: Record<string, unknown>): Promise<PgBoss> {
  const boss = new library.PgBoss({ connectionString: url, ...options })
  boss.on("error", (error) => process.stderr.write(`pg-boss: ${error.message}\n`))
  await boss.start()
  return boss
}
