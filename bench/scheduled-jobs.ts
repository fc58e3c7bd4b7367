// The scheduled scenario's hold on millrace itself: jobs that fall due in the same second, before a worker with default settings.
import { Millrace, defineJob } from "millrace"
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
