import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { z } from "zod"

// What the job means: shared by the side that pushes and the side that runs.
const greet = defineJob({
  name: "greet",
  payload: z.object({ name: z.string().min(1) }),
  result: z.object({ text: z.string() }),
  timeout: "30s",
})

// The application: pushes, in its own transactions if it likes.
await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()

// The worker, usually in a process of its own: `await worker.run()`.
await using worker = new Worker(app, {
  handlers: [greet.handler(async ({ name }, job) => ({ text: `hello ${name}, attempt ${job.attempt}` }))],
})
await worker.start()

const job = await app.push(greet, { name: "Ada" }, { priority: 5 })
console.log((await job.result({ timeout: "10s" })).text)
