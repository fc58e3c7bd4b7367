// One queue for all tenants: each runs one import at a time, they take turns, and whoever pushes a lot harms nobody.
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"

const importFile = defineJob<{ tenant: string; file: number }>({
  name: "import-file",
  queue: "imports",
  limitKey: "tenant", // what the limits per key go by: a place in the payload, or a function of it
})

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
})
await app.migrate()
await app.declareQueue({ name: "imports", keyConcurrency: 1, fair: true, globalConcurrency: 2 })

const order: string[] = []
const jobs = [
  ...(await app.pushMany(
    importFile,
    [1, 2, 3, 4, 5, 6].map((file) => ({ tenant: "big", file })),
  )),
  ...(await app.pushMany(
    importFile,
    [1, 2].map((file) => ({ tenant: "small", file })),
  )),
]
console.log((await app.explain(jobs[5]!)).reasons.map(({ code }) => code).join(", "))

await using worker = new Worker(app, {
  handlers: [
    importFile.handler(async ({ tenant, file }) => {
      order.push(`${tenant} ${file}`)
      await new Promise((resolve) => setImmediate(resolve))
    }),
  ],
})
await worker.start()
await app.wait(jobs, { timeout: "30s" })
console.log(order.slice(0, 4).sort().join(", "))
