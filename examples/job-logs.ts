// What a job says while it runs, read and followed from anywhere.
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"

const importFile = defineJob<{ rows: number }, number>({ name: "import-file" })

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
await using worker = new Worker(app, {
  handlers: [
    importFile.handler(({ rows }, job) => {
      job.log("opened the file", { rows })
      for (let row = 1; row <= rows; row++) {
        if (row === 2) job.log.warn("skipped a row", { row, reason: "no name" })
        job.progress(row / rows)
      }
      return rows - 1
    }),
  ],
})
await worker.start()

const job = await app.push(importFile, { rows: 4 })
// In another process: `app.job(id).follow()`. Ends with the job.
for await (const event of job.follow()) {
  if (event.type === "log") console.log(event.n, event.level, event.message, JSON.stringify(event.fields))
  else if (event.type === "progress" && event.progress === 1) console.log("all rows are done")
  else if (event.type === "state" && event.state === "succeeded") console.log("imported", event.job.result)
}

// As long as the job's record is kept, its lines are.
const warnings = (await job.logs()).filter((line) => line.level === "warn")
console.log(warnings.map((line) => `attempt ${line.attempt}: ${line.message}`))
