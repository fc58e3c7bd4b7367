// A worker whose jobs kill it, and whose pruner keeps nothing.
import { finishedAge, Millrace, workflows } from "millrace"
import { pruner, Worker } from "millrace/worker"
import { count, effect, refuse } from "../workflow-jobs.ts"

const { dsn, label } = JSON.parse(process.env.MILLRACE_PLAN!) as { dsn: string; label: string }

process.on("disconnect", () => process.exit(3)) // the test's process is gone

const app = new Millrace({ dsn, logger: false, plugins: [workflows({ sweep: "300ms" })] })
const worker = new Worker(app, {
  id: label,
  heartbeat: 200,
  lease: 1_000,
  sweep: 200,
  queuePoll: 300,
  maxCrashes: 1_000,
  plugins: [pruner({ rule: finishedAge.gt("0ms"), every: "50ms" })],
  handlers: [
    count.handler(({ n, killAt }, { crashes }) => {
      if (n + 1 === killAt && crashes === 0) process.kill(process.pid, "SIGKILL")
      return n + 1
    }),
    effect.handler(({ what }, job) =>
      job.transaction(async (tx) => {
        await tx.query("insert into effects (what) values ($1)", [what])
        return what
      }),
    ),
    refuse.handler(() => {
      throw new Error("no")
    }),
  ],
})
await worker.run()
await app.close()
