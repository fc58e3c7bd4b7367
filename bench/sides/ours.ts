// millrace with its default settings: nothing tuned, history kept.
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { Millrace, defineJob } from "millrace"
import { Worker, type Plugin } from "millrace/worker"
import pg from "pg"
import { root } from "../root.ts"
import type { Handle, Payload, Producer, Running, Side, WorkerOptions } from "../side.ts"
import { observing } from "./observing.ts"

const noop = defineJob<Payload>({ name: "noop", queue: "default" })

export function load(): Promise<Side> {
  return Promise.resolve({
    versions: { millrace: version(join(root, "package.json")), pg: version(require.resolve("pg/package.json")) },
    sql: {
      unfinished: "select exists (select from millrace.jobs) as found",
      waiting: "select count(*)::int as count from millrace.jobs",
      succeeded: "select count(*)::int as count from millrace.jobs_history where state = 'succeeded'",
    },
    async migrate(url) {
      const app = connect(url)
      await app.migrate()
      await app.close()
    },
    producer,
    worker,
  })
}

function producer(url: string): Promise<Producer> {
  const app = connect(url)
  return Promise.resolve({
    push: (payload) => app.push(noop, payload),
    pushMany: (payloads) => app.pushMany(noop, payloads),
    close: () => app.close(),
  })
}

async function worker(url: string, options: WorkerOptions, handle: Handle): Promise<Running> {
  const watching = observing(options.observed)
  const app = connect(url, watching.plugins)
  if (watching.plugins.length > 0) await app.migrate()
  if (options.concurrency !== undefined) {
    await app.declareQueue({ name: "default", concurrency: options.concurrency }, { upsert: true })
  }
  const plugins = options.saving ? [await saver(url)] : []
  const handlers = [noop.handler((payload) => handle(payload))]
  const running = new Worker(app, { handlers, plugins, ...watching.worker })
  await running.start()
  const scraping = running.healthPort === undefined ? undefined : setInterval(() => void scrape(running), 1_000)
  return {
    async stop() {
      clearInterval(scraping)
      await running.stop()
      await app.close()
      await watching.stop()
    },
  }
}

async function scrape(worker: Worker): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${worker.healthPort}/metrics`)
  if (!response.ok) throw new Error(await response.text())
  await response.text()
}

/** Writes one row per job in the transaction that settles it. */
async function saver(url: string): Promise<Plugin> {
  const pool = new pg.Pool({ connectionString: url })
  await pool.query("create table if not exists bench_saved (id uuid, state text)")
  await pool.end()
  return {
    name: "saver",
    saving: {
      select: () => true,
      async run(batch, tx) {
        const ids = batch.map(({ job }) => job.id)
        const states = batch.map(({ state }) => state)
        await tx.query("insert into bench_saved select * from unnest($1::uuid[], $2::text[])", [ids, states])
      },
    },
  }
}

function connect(url: string, plugins: Plugin[] = []): Millrace {
  return new Millrace({ dsn: url, logger: false, plugins })
}

const require = createRequire(import.meta.url)

function version(file: string): string {
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version
}
