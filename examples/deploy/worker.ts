// The worker of a deployment: one process, told everything by its environment, and stopped by SIGTERM. `node worker.ts migrate`
// makes the tables, once per release, before the workers start.
import { defineJob, Millrace } from "millrace"
import { alerts, errorGroups, jobLogger, webhook, Worker } from "millrace/worker"

const { DATABASE_URL: dsn, WORKER_ID: id, ALERT_URL: url, ALERT_SECRET: secret } = process.env

const call = defineJob<{ url: string }, number>({ name: "call", timeout: "10m" })

const channels = url ? [webhook({ url, ...(secret && { secret }) })] : []
await using app = new Millrace({ dsn, plugins: [jobLogger(), errorGroups(), alerts({ channels })] })

if (process.argv[2] === "migrate") await app.migrate()
else {
  const worker = new Worker(app, {
    id: id || undefined,
    handlers: [call.handler(async (payload, job) => (await fetch(payload.url, { signal: job.signal })).status)],
    // Together with the time to save what they led to (30 s at most) less than what the unit and the container allow.
    shutdownTimeout: "30s",
    grace: "5s",
  })
  // Lasts until SIGTERM. Saved: every outcome has reached the database; what was not finished runs again elsewhere.
  const saved = await worker.run()
  process.exitCode = saved ? 0 : 1
}
