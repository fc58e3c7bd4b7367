// Creating a worker: connect, create the tables, declare a queue, start a worker.
import { Millrace } from "millrace"
import { Worker } from "millrace/worker"

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
await app.declareQueue({ name: "default", concurrency: 10 })
await using worker = new Worker(app)
await worker.start() // a program of its own calls `await worker.run()`, which lasts until SIGTERM
console.log(worker.state, worker.queues)
