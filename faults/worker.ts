// A worker process of the harness.
import { leadership, Worker, type Plugin } from "millrace/worker"
import { handlersOf } from "./handlers.ts"
import { letGo, openApp, plan, recorder, watchForStalls } from "./process.ts"
import { machineTime, maxCrashes, timing } from "./timing.ts"

/** Counts what the leader does. The row of leadership says in which term; this process may have lost trust in it meanwhile. */
const ticker: Plugin = {
  name: "ticker",
  scope: "leader",
  async run(ctx) {
    const act = `insert into faults.ticks (term, worker) select l.term::text, $1 from ${ctx.names.of("leader")} l`
    while (await ctx.sleep(100)) await ctx.asLeader((tx) => tx.query(act, [ctx.worker.id]))
  },
}

/** Writes a row in the transaction of each settlement of a "kept" job, and notes what is confirmed. */
const keeper: Plugin = {
  name: "keeper",
  saving: {
    select: ({ job, state }) => job.name === "kept" && state !== "pending",
    run: async (batch, tx) => {
      for (const { job, state } of batch)
        await tx.query("insert into faults.saves (job, claims, state) values ($1, $2, $3)", [job.id, job.claims, state])
    },
  },
  saved: (batch) => {
    for (const { job, state } of batch) recorder.note({ t: "saved", id: job.id, claims: job.claims, state })
  },
}

const { lease, heartbeat, sweep, queuePoll, shutdownTimeout, grace, leaderLease, leaderEvery } = timing
const app = openApp()
const worker = new Worker(app, {
  id: plan.workerId,
  handlers: handlersOf(recorder),
  plugins: [ticker, keeper, leadership({ lease: leaderLease, every: leaderEvery })],
  lease,
  heartbeat,
  sweep,
  queuePoll,
  shutdownTimeout,
  grace,
  maxCrashes,
})

for (const event of ["leadership.gained", "leadership.renewed", "leadership.loop"] as const)
  app.hub.on(event, ({ body }) => {
    const at = machineTime() // first: a freeze between here and the look must not make it later than it was
    if (worker.leads) recorder.note({ t: "lead", term: body.term }, at)
  })
app.hub.on("leadership.lost", ({ body }) => recorder.note({ t: "follow", term: body.term }))
app.hub.on("recovery.recovered", ({ body }) => recorder.note({ t: "recovered", jobs: body.jobs }))
app.hub.on("worker.started", ({ remote }) => void (remote || recorder.note({ t: "ready" })))
process.on("SIGTERM", () => recorder.note({ t: "stopping" }))

watchForStalls()
try {
  const saved = await worker.run()
  recorder.note({ t: "stopped", saved })
} catch (error) {
  // The database may be away while it starts; whoever supervises it starts it again.
  recorder.note({ t: "log", level: "error", message: `could not start: ${String(error)}` })
  process.exitCode = 4
}
await app.close()
letGo()
