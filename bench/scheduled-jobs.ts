// The scheduled scenario's hold on millrace itself: jobs that fall due in the
// same second, and schedules that tick every second.
import { setTimeout as sleep } from "node:timers/promises"
import { Millrace, cron, defineJob } from "millrace"
import { Worker } from "millrace/worker"
import type { Client } from "pg"

const noop = defineJob<{ i: number }>({ name: "noop", queue: "default" })

/** Pushes `count` jobs that are all due `seconds` from now, in one second. */
export async function pushDueTogether(url: string, db: Client, count: number, seconds: number): Promise<Date> {
  const { rows } = await db.query<{ at: Date }>("select date_trunc('second', now() + $1 * interval '1 second') as at", [
    seconds,
  ])
  const { at } = rows[0]!
  const app = new Millrace({ dsn: url, logger: false })
  try {
    const payloads = Array.from({ length: count }, (_, i) => ({ i }))
    await app.pushMany(noop, payloads, { runAt: at })
  } finally {
    await app.close()
  }
  return at
}

/** Milliseconds from the time each tick was due until it was fired, by the database's clock: some schedules, each second. */
export async function tickLateness(url: string, db: Client, seconds: number): Promise<number[]> {
  const schedules = cron()
  const app = new Millrace({ dsn: url, logger: false, plugins: [schedules] })
  const worker = new Worker(app, { handlers: [noop.handler(() => {})] })
  try {
    await app.migrate()
    await db.query("delete from millrace.jobs") // an idle system
    await db.query("delete from millrace.workers")
    await worker.start()
    for (let n = 0; n < 10; n++)
      await schedules.schedule(noop, { i: n }, { key: `tick-${n}`, every: "1s", missed: "all" })
    await sleep(seconds * 1_000)
  } finally {
    await worker.stop()
    await app.close()
  }
  const { rows } = await db.query<{ late: number }>(
    "select extract(epoch from fired_at - at)::float8 * 1000 as late from millrace.schedule_ticks where outcome = 'pushed'",
  )
  return rows.map(({ late }) => late)
}
