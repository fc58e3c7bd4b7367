// Seed 003: a breakdown of queue, state and count, with interface functions reached by name on each of two instances.
import { defineJob, Millrace } from "millrace"
import { Worker, type Plugin } from "millrace/worker"

interface Breakdown extends Plugin {
  pause(): void
  resume(): void
}

function breakdown({ interval = "10s", print = console.log as (rows: unknown) => void } = {}): Breakdown {
  let paused = false
  return {
    name: "breakdown",
    async run(ctx) {
      while (await ctx.sleep(interval)) {
        if (paused) continue
        const { rows } = await ctx.db.query<{ queue: string; state: string; count: number }>(
          `select queue, state::text, count(*)::int as count from ${ctx.table("all_jobs")} group by 1, 2 order by 1, 2`,
        )
        print(rows.map(({ queue, state, count }) => [queue, state, count]))
      }
    },
    pause: () => void (paused = true),
    resume: () => void (paused = false),
  }
}

const dsn = process.env.DATABASE_URL
let first!: (rows: unknown) => void
const printed = new Promise((resolve) => (first = resolve))
await using one = new Millrace({ dsn, logger: false, plugins: [breakdown({ interval: "50ms", print: first })] })
await using two = new Millrace({ dsn, schema: "other", logger: false, plugins: [breakdown()] })
await one.migrate()
await two.migrate()

const job = defineJob<number>({ name: "job" })
await one.pushMany(job, [1, 2, 3], { delay: "1h" })
await using worker = new Worker(one)
await worker.start()
console.log(await printed)

one.plugin<Breakdown>("breakdown").pause()
two.plugin<Breakdown>("breakdown").resume()
