// Metrics of jobs and of one's own, health over HTTP, and what Prometheus would scrape.
import { defineJob, Millrace } from "millrace"
import { metrics, Worker, type MetricsPlugin, type Plugin } from "millrace/worker"
import { setTimeout as sleep } from "node:timers/promises"

const greet = defineJob<string>({ name: "greet" })

let sent: (() => void) | undefined
const mailer: Plugin = {
  name: "mailer",
  onStart(ctx) {
    sent = () => ctx.metrics.counter("mail.sent", { provider: "x" }).add()
  },
}

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [metrics({ every: "100ms" }), mailer],
})
await app.migrate()
await using worker = new Worker(app, { handlers: [greet.handler(() => sent?.())], health: { port: 0 } })
await worker.start()

await app.wait(await app.pushMany(greet, ["Ada", "Grace", "Edsger"]))

const plugin = app.plugin<MetricsPlugin>("metrics")
for (const prefix of ["mail.sent", "jobs.ended"]) {
  for (;;) {
    const [series] = (await plugin.query({ prefix, resolution: "1d" })).series
    const count = series?.kind === "counter" ? series.points.at(-1)?.count : undefined
    if (series && count === 3) {
      console.log(series.metric, series.labels, count)
      break
    }
    await sleep(50)
  }
}

const at = `http://127.0.0.1:${worker.healthPort}`
const ready = await fetch(`${at}/readyz`)
const scraped = await fetch(`${at}/metrics`)
const line = /^(millrace_jobs_ended_total)\{.*\} (.*)$/m.exec(await scraped.text())!
console.log(ready.status, worker.health().ready, scraped.status, line[1], line[2])
