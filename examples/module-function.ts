// Running functions of modules in the worker, without any handler or concurrency, by an executor of one's own.
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { moduleFunction } from "./executors/module-function.ts"

const reports = {
  monthly: ({ month }: { month: string }) => `report of ${month}`,
}

const monthly = defineJob<{ month: string }, string>({ name: "reports.monthly", queue: "functions" })
const missing = defineJob({ name: "reports.weekly", queue: "functions" })

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  queues: [{ name: "functions", executor: "module-function" }],
})
await app.migrate()
await using worker = new Worker(app, { executors: { "module-function": moduleFunction({ reports }) } })
await worker.start()

console.log(await (await app.push(monthly, { month: "May" })).result({ timeout: "10s" }))
const [record] = await app.wait([await app.push(missing)], { timeout: "10s" })
console.log(record!.state, record!.errors[0]!.message)
