// Entry of a worker process: `node worker.js <id>`, with the database's address in DEMO_DATABASE_URL.
import path from "node:path"
import { Millrace, type Logger } from "millrace"
import { Worker } from "millrace/worker"
import { measure, queue } from "./jobs.ts"
import { measureFile } from "./measure.ts"
import { demoPlugins } from "./plugins.ts"
import { messageOf } from "./problem.ts"
import { shopHandlers } from "./shop-handlers.ts"
import { shopQueues } from "./shop-jobs.ts"

// stderr is read by the process that shows the screen.
const say = (text: string) => void process.stderr.write(`${text.replaceAll("\n", " ")}\n`)
const logger: Logger = { debug() {}, info() {}, warn() {}, error: say } // a job that fails is shown in the summary

const app = new Millrace({
  dsn: process.env.DEMO_DATABASE_URL ?? "",
  queues: [queue, ...shopQueues],
  plugins: demoPlugins().all,
  maxConnections: 4,
  logger,
})
const worker = new Worker(app, {
  id: process.argv[2] ?? "worker",
  handlers: [
    measure.handler(({ folder, file }, job) => measureFile(path.join(folder, file), job.signal)),
    ...shopHandlers,
  ],
  // Shorter than the defaults, so that one need not wait long to see the jobs of a killed worker run elsewhere.
  heartbeat: "1s",
  lease: "6s",
  sweep: "2s",
  shutdownTimeout: "5s",
})

// Whoever started this process is gone, and perhaps the database with it: not much time is given to a clean end.
process.once("disconnect", () => {
  if (worker.state === "stopped") return
  void worker.stop()
  setTimeout(() => process.exit(1), 3_000).unref()
})

try {
  await worker.run() // until SIGTERM
} catch (error) {
  say(messageOf(error))
  process.exitCode = 1
}
await app.close()
if (process.connected) process.disconnect()
