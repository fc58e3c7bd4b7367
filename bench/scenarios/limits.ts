// What each limit costs against the same queue without it, and whether it ever lets one too many run: counted in the
// handlers, over two workers, from a backlog to the last completion in the database.
import { defineJob, Millrace, type QueueOptions } from "millrace"
import { Worker } from "millrace/worker"
import { setImmediate as turn } from "node:timers/promises"
import { median } from "../figures.ts"
import { now } from "../measure.ts"
import type { Measurement, Run, Scenario } from "../scenario.ts"
import { connect, withDatabase } from "../server.ts"
import { until } from "../stage.ts"

const JOBS = 10_000
const ROUNDS = 3
const quiet = { debug() {}, info() {}, warn() {}, error() {} }

export const limits: Scenario = {
  summary: "jobs/s with each kind of limit beside the same queue without it; how many too many ran",
  peers: false,
  rounds: 1,
  measure,
}

interface Case {
  readonly queue: Partial<QueueOptions>
  /** Different limit keys; 0: jobs without. */
  readonly keys: number
  /** Most that may run at a time: of the queue, and of a key. */
  readonly most?: { readonly all?: number; readonly key?: number }
}

const cases = {
  unlimited: { queue: {}, keys: 0 },
  global: { queue: { globalConcurrency: 100 }, keys: 0, most: { all: 100 } },
  perKey: { queue: { keyConcurrency: 1 }, keys: 1_000, most: { key: 1 } },
  rate: { queue: { rateLimit: { limit: 1_000_000, per: "1s" } }, keys: 0 },
  fair: { queue: { fair: true }, keys: 100 },
  ordered: { queue: { ordered: "retry" }, keys: 1_000, most: { key: 1 } },
  keyedOnly: { queue: {}, keys: 1_000 },
} as const satisfies Record<string, Case>

type Name = keyof typeof cases

async function measure(run: Run): Promise<Measurement> {
  const jobs = run.options.jobs ?? JOBS
  const rates = new Map<Name, number[]>()
  let overshoot = 0
  for (let round = 1; round <= ROUNDS; round++) {
    for (const name of Object.keys(cases) as Name[]) {
      const result = await drainOnce(run, cases[name], jobs)
      rates.set(name, [...(rates.get(name) ?? []), result.rate])
      overshoot += result.overshoot
      run.say(`${round}/${ROUNDS} ${name}: ${Math.round(result.rate)} jobs/s, ${result.overshoot} too many`)
    }
  }
  const rate = (name: Name) => median(rates.get(name)!)
  const ratio = (name: Name) => rate(name) / rate("unlimited")
  const cardinality = await manyKeys(run)
  const tenants = await tenant(run)
  const figures = {
    globalRatio: ratio("global"),
    perKeyRatio: ratio("perKey"),
    rateRatio: ratio("rate"),
    fairRatio: ratio("fair"),
    orderedRatio: ratio("ordered"),
    keyedRatio: ratio("keyedOnly"),
    overshoot,
    cardinalityRatio: cardinality,
    tenantRatio: tenants.ratio,
    tenantMs: tenants.ms,
    jobsPerSecond: Object.fromEntries((Object.keys(cases) as Name[]).map((name) => [name, rate(name)])),
  }
  return { figures, versions: {}, foreignLoad: null }
}

const work = defineJob<{ key: string }>({ name: "work", queue: "bench", retention: "1h" })
const keyed = defineJob<{ key: string }>({ name: "keyed", queue: "bench", limitKey: "key", retention: "1h" })

async function withApp<T>(run: Run, queue: Partial<QueueOptions>, act: (app: Millrace, url: string) => Promise<T>) {
  return withDatabase(run.server, async (url) => {
    const app = new Millrace({ dsn: url, logger: quiet, queues: [{ ...queue, name: "bench" }] })
    try {
      await app.migrate()
      return await act(app, url)
    } finally {
      await app.close()
    }
  })
}

/** Counts who runs at a time, and how many more than allowed. */
function counter({ all, key: perKey }: { readonly all?: number; readonly key?: number } = {}) {
  const keys = new Map<string, number>()
  let running = 0
  const seen = { done: 0, first: 0, overshoot: 0 }
  const handle = async ({ key }: { key: string }) => {
    if (seen.first === 0) seen.first = now()
    const mine = (keys.get(key) ?? 0) + 1
    keys.set(key, mine)
    running += 1
    if (running > (all ?? Infinity) || mine > (perKey ?? Infinity)) seen.overshoot += 1
    await turn()
    running -= 1
    keys.set(key, keys.get(key)! - 1)
    seen.done += 1
  }
  return { seen, handlers: [work.handler(handle), keyed.handler(handle)] }
}

async function drainOnce(run: Run, { queue, keys, most }: Case, jobs: number) {
  return withApp(run, queue, async (app, url) => {
    await push(app, jobs, keys)
    const db = await connect(url)
    const { seen, handlers } = counter(most)
    const workers = [1, 2].map(() => new Worker(app, { handlers, plugins: [] }))
    try {
      await db.query("vacuum analyze")
      await Promise.all(workers.map((worker) => worker.start()))
      await until("all handlers to finish", () => seen.done >= jobs, 5)
      await until("an empty queue", async () => (await db.query("select from millrace.jobs limit 1")).rowCount === 0, 2)
      return { rate: (jobs / (now() - seen.first)) * 1_000, overshoot: seen.overshoot }
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()))
      await db.end()
    }
  })
}

async function push(app: Millrace, jobs: number, keys: number): Promise<void> {
  const payloads = Array.from({ length: jobs }, (_, n) => ({ key: `k${n % Math.max(1, keys)}` }))
  await app.pushMany(keys > 0 ? keyed : work, payloads)
}

/** Does a hundred times as many keys slow a claim? The drain of 100,000 jobs of 100,000 keys beside 1,000 keys. */
async function manyKeys(run: Run): Promise<number> {
  const rate = async (keys: number) => {
    const { rate: perSecond } = await drainOnce(run, { queue: { keyConcurrency: 1 }, keys }, 100_000)
    run.say(`100,000 jobs of ${keys} keys: ${Math.round(perSecond)} jobs/s`)
    return perSecond
  }
  return (await rate(100_000)) / (await rate(1_000))
}

/** How long a tenant's first job takes beside another tenant's 100,000, and on an idle queue. */
async function tenant(run: Run): Promise<{ ratio: number; ms: { idle: number; beside: number } }> {
  const latency = (behind: number) =>
    withApp(run, { fair: true, concurrency: 10 }, async (app) => {
      const starts = new Map<string, number>()
      const handler = keyed.handler(async ({ key }) => {
        starts.set(key, now())
        await new Promise((resolve) => setTimeout(resolve, 10))
      })
      if (behind > 0) await push(app, behind, 1)
      const worker = new Worker(app, { handlers: [handler] })
      await worker.start()
      if (behind > 0) await until("the first of many to run", () => starts.has("k0"), 2)
      const times: number[] = []
      try {
        for (let n = 0; n < 20; n++) {
          const at = now()
          await app.push(keyed, { key: `tenant${n}` })
          await until("the tenant's job to start", () => starts.has(`tenant${n}`), 1)
          times.push(starts.get(`tenant${n}`)! - at)
        }
      } finally {
        await worker.forceStop()
      }
      return median(times)
    })
  const idle = await latency(0)
  const beside = await latency(100_000)
  run.say(
    `a tenant's job starts after ${idle.toFixed(1)} ms, beside 100,000 of another's after ${beside.toFixed(1)} ms`,
  )
  // Unloaded, a job takes its start and its own 10 ms.
  return { ratio: (beside + 10) / (idle + 10), ms: { idle, beside } }
}
