// The claim scenario's hold on millrace itself: it calls the function that workers call, without a worker around it.
import { randomUUID } from "node:crypto"
import type { Client } from "pg"
import { Millrace, defineJob } from "millrace"
import { now } from "./measure.ts"
import { connect } from "./server.ts"

const noop = defineJob<{ i: number }>({ name: "noop", queue: "default" })

const BULK = 1_000
const CLAIM = 100
const CLAIMS = 20
const WARM_UPS = 3

/** Milliseconds of each of a series of claims of 100 jobs of the queue `default`, nothing being settled. */
export async function claimTimes(url: string): Promise<number[]> {
  const db = await connect(url)
  try {
    await withApp(url, (app) => app.declareQueue("default"))
    const worker = await registerWorker(db)
    const times: number[] = []
    for (let n = 0; n < WARM_UPS + CLAIMS; n++) times.push(await timeClaim(db, worker))
    return times.slice(WARM_UPS)
  } finally {
    await db.end()
  }
}

/** Claims are refused to workers that are not registered. */
async function registerWorker(db: Client): Promise<string> {
  const worker = randomUUID()
  await db.query(
    `insert into millrace.workers (incarnation, id, hostname, pid, tags, expires_at)
     values ($1::uuid, $1::uuid::text, 'bench', 0, '{*}', now() + interval '1 hour')`,
    [worker],
  )
  return worker
}

async function timeClaim(db: Client, worker: string): Promise<number> {
  const started = now()
  const { rows } = await db.query<{ id: string | null }>({
    name: "claim",
    text: `select id from millrace.cycle_1(p_worker => $1::uuid, p_worker_id => $1::uuid::text, p_queue => 'default',
      p_ids => '{}', p_runs => '{}', p_counts => '{}', p_kept_ids => '{}', p_kept_tokens => '{}', p_details => null,
      p_token => $2, p_limit => ${CLAIM}, p_suspect => false, p_except => null,
      p_floor_ranks => '{}', p_floor_ready => '{}', p_floor_ids => '{}')`,
    values: [worker, randomUUID()],
  })
  const time = now() - started
  const claimed = rows.filter(({ id }) => id !== null).length
  if (claimed !== CLAIM) throw new Error(`claimed ${claimed} jobs instead of ${CLAIM}`)
  return time
}

/** Pushes `count` jobs for tomorrow. */
export async function seedScheduled(url: string, count: number): Promise<void> {
  await withApp(url, async (app) => {
    for (let at = 0; at < count; at += BULK) {
      const payloads = Array.from({ length: Math.min(BULK, count - at) }, (_, n) => ({ i: at + n }))
      await app.pushMany(noop, payloads, { runAt: "in 1d" })
    }
  })
}

async function withApp(url: string, use: (app: Millrace) => Promise<unknown>): Promise<void> {
  const app = new Millrace({ dsn: url, logger: false })
  try {
    await use(app)
  } finally {
    await app.close()
  }
}
