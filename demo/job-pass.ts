// One job per file: pushed while the folder is walked and the workers already run.
import { setTimeout as sleep } from "node:timers/promises"
import type { Millrace } from "millrace"
import type pg from "pg"
import { measure } from "./jobs.ts"
import type { Progress } from "./progress.ts"
import { accountOf, standing, type Account } from "./totals.ts"
import { walk } from "./walk.ts"

export interface Run {
  folder: string
  tag: string
  /** Files that the scan has found. */
  expected: number
  /** When it began, by this machine's clock, which its files' times go by. */
  since: number
}

const pollEvery = 200

export async function jobPass(
  app: Millrace,
  pool: pg.Pool,
  run: Run,
  progress: Progress,
  stop: AbortSignal,
): Promise<Account> {
  const begun = await databaseTime(pool)
  let pushed: number | undefined
  const over = new AbortController()
  const signal = AbortSignal.any([stop, over.signal])
  const pushing = app.pushMany(measure, payloads(run.folder, signal), { tags: [run.tag] }).then((references) => {
    pushed = references.length
  })
  try {
    await Promise.all([pushing, watch(pool, run, progress, signal, () => pushed)])
    progress.end()
  } finally {
    over.abort()
    await pushing.catch(() => {})
  }
  return accountOf(pool, run.tag, begun)
}

async function* payloads(folder: string, signal: AbortSignal) {
  for await (const file of walk(folder)) {
    signal.throwIfAborted()
    yield { folder, file }
  }
}

/** Counts in the database until every pushed job is done; the longer a count takes, the seldomer. */
async function watch(
  pool: pg.Pool,
  run: Run,
  progress: Progress,
  signal: AbortSignal,
  pushed: () => number | undefined,
) {
  for (;;) {
    const all = pushed() // read before the count: a job pushed later may not be in it
    const asked = performance.now()
    const now = await standing(pool, run.tag)
    signal.throwIfAborted()
    progress.show({ ...now, total: all ?? Math.max(run.expected, now.done) })
    if (all !== undefined && now.done >= all) return
    await sleep(Math.max(pollEvery, 10 * (performance.now() - asked)), undefined, { signal })
  }
}

async function databaseTime(pool: pg.Pool): Promise<Date> {
  const { rows } = await pool.query<{ now: Date }>("select clock_timestamp() as now")
  return rows[0]!.now
}
