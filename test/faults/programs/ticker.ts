// A worker whose leader plugin counts ticks in a table; every tick names the term that made it.
import { Millrace } from "millrace"
import { leadership, Worker, type Plugin } from "millrace/worker"
import type { MillraceOptions } from "millrace"

const plan = JSON.parse(process.env.MILLRACE_PLAN!) as { app: MillraceOptions; id: string; lease: string }

const ticker: Plugin = {
  name: "ticker",
  scope: "leader",
  async run(ctx) {
    while (await ctx.sleep(20)) {
      await ctx.asLeader((tx) =>
        tx.query(
          `insert into ${ctx.table("ticks")} (n, term, worker, at)
           select coalesce(max(n), 0) + 1, $1, $2, clock_timestamp() from ${ctx.table("ticks")}`,
          [ctx.leader.term ?? "none", ctx.worker.id],
        ),
      )
    }
  },
}

process.on("disconnect", () => process.exit(3)) // the test's process is gone
const app = new Millrace({ ...plan.app, logger: false })
const worker = new Worker(app, { id: plan.id, plugins: [ticker, leadership({ lease: plan.lease, every: "300ms" })] })
const running = worker.run()
process.send!({ kind: "ready", at: 0 })
await running
await app.close()
process.removeAllListeners("disconnect")
