// Worker tags: a queue runs on the workers whose tags it names. Every worker has some of its own.
import { defineJob, Millrace, type Logger } from "millrace"
import { Worker } from "millrace/worker"

const train = defineJob<{ model: string }, string>({ name: "train", queue: "gpu_jobs" })
const handlers = [train.handler(({ model }) => `trained ${model}`)]

const warnings: string[] = []
const quiet = () => {}
const logger: Logger = { debug: quiet, info: quiet, error: quiet, warn: (message) => void warnings.push(message) }
await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger })
await app.migrate()
await app.declareQueue({ name: "gpu_jobs", tags: ["has=gpu"], concurrency: 2 })
await app.declareQueue({ name: "default", tags: ["env=staging"] })

await using plain = new Worker(app, { id: "plain", handlers })
await using gpu = new Worker(app, { id: "gpu", handlers, tags: ["has=gpu", "env=production"] })
await Promise.all([plain.start(), gpu.start()])

console.log(plain.tags.map((tag) => tag.replace(/=.*/, "=…")).join(" "))
console.log("plain:", plain.queues, warnings)
console.log("gpu:", gpu.queues)
const job = await app.push(train, { model: "mill" })
console.log(await job.result({ timeout: "10s" }), "on", (await job.get())!.worker)
