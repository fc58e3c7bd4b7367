// Seed 001: counts running jobs every so often, on the leader.
import { Millrace } from "millrace"
import { Worker, type Plugin } from "millrace/worker"

function runningJobsCounter({ every = "60s" } = {}): Plugin {
  return {
    name: "running-jobs-counter",
    async run(ctx) {
      while ((await ctx.waitForLeader()) && (await ctx.sleep(every))) {
        const { rows } = await ctx.db.query<{ count: number }>(
          `select count(*)::int as count from ${ctx.table("jobs")} where state = 'running'`,
        )
        console.log(`Current number of running jobs: ${rows[0]!.count}`)
        ctx.hub.emit("counter.counted", { count: rows[0]!.count })
      }
    },
  }
}

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [runningJobsCounter({ every: "1s" })],
})
await app.migrate()
const counted = app.hub.waitFor("counter.counted", { timeout: "20s" })
await using worker = new Worker(app)
await worker.start()
await counted
