// A complete worker: several queues, tags, an id, and a heartbeat of its own.
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"

const page = defineJob<{ who: string }, string>({ name: "page", queue: "high_priority" })

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()

await app.declareQueue({ name: "default", concurrency: 10 })
await app.declareQueue({ name: "high_priority", concurrency: 5, tags: ["role=priority"] })
await app.declareQueue({ name: "low_priority", concurrency: 2 })

// What the seed's Pruner and Recovery do is built in: finished jobs are dropped with their retention, and the jobs of
// workers that were lost are taken back.
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
