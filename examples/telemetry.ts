// A trace from the caller through the push to every attempt, drawn as a collector would show it.
import * as api from "@opentelemetry/api"
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node"
import { defineJob, Millrace } from "millrace"
import { telemetry, Worker } from "millrace/worker"

// Yours: the SDK, with the exporter of your collector.
const memory = new InMemorySpanExporter()
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(memory)] }).register()
const tracer = api.trace.getTracer("shop")

const mail = defineJob<{ to: string }>({ name: "mail", backoff: { initial: 0 } })

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [telemetry({ api, spans: ["push", "run"] })],
})
await app.migrate()
await using worker = new Worker(app, {
  handlers: [
    mail.handler(({ to }, job) =>
      tracer.startActiveSpan(`smtp ${to}`, (span) => {
        span.end()
        if (job.attempt === 1) throw new Error("greylisted")
      }),
    ),
  ],
})
await worker.start()

await tracer.startActiveSpan("POST /orders", async (span) => {
  const job = await app.push(mail, { to: "ada@example.com" })
  span.end()
  await job.result({ timeout: "10s" })
})

const spans = memory
  .getFinishedSpans()
  .toSorted((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1])
function draw(parent: string | undefined, indent: string): void {
  for (const span of spans) {
    if (span.parentSpanContext?.spanId !== parent) continue
    console.log(indent + span.name, span.status.message ?? "", span.links.length > 0 ? "(again)" : "")
    draw(span.spanContext().spanId, `${indent}  `)
  }
}
draw(undefined, "")
