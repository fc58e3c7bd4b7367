// Seed 001: plugins of an app, configured. (Cron, workflow and web come with later releases.)
import { age, Millrace } from "millrace"
import { leadership, pruner, recovery, Worker } from "millrace/worker"

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  queues: [{ name: "default", concurrency: 10 }],
  plugins: [leadership(), recovery(), pruner({ rule: age.gt("1h"), every: "10s" })],
})
await app.migrate()

await using worker = new Worker(app)
await worker.start()
console.log(worker.health().plugins.map(({ name }) => name))
