// A complete worker: several queues, plugins, tags, an id, and a heartbeat of its own. (Cron and web come with later releases.)
import { age, defineJob, Millrace } from "millrace"
import { leadership, pruner, recovery, Worker } from "millrace/worker"

const page = defineJob<{ who: string }, string>({ name: "page", queue: "high_priority" })

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [
    pruner({ rule: age.gt("1h"), every: "1h" }), // finished jobs go when they are older than an hour, looked at each hour
    recovery(),
    leadership(),
  ],
})
await app.migrate()

await app.declareQueue({ name: "default", concurrency: 10 })
await app.declareQueue({ name: "high_priority", concurrency: 5, tags: ["role=priority"] })
await app.declareQueue({ name: "low_priority", concurrency: 2 })

await using worker = new Worker(app, {
  id: "worker-1",
  tags: ["role=priority", "env=dev"],
  heartbeat: "15s", // renewed so often
  lease: "45s", // so its jobs stay its own for so long without a renewal
  handlers: [page.handler(({ who }) => `paged ${who}`)],
})
await worker.start()

console.log(worker.id, [...worker.queues].sort())
console.log(await (await app.push(page, { who: "Ada" })).result({ timeout: "10s" }))
