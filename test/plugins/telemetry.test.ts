import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as api from "@opentelemetry/api"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics"
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-node"
import { cron, defineJob, retryAfter, snooze, workflow, workflows, type Builder } from "millrace"
import { telemetry } from "millrace/worker"
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const memory = new InMemorySpanExporter()
const measured = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const meters = new MeterProvider({
  readers: [new PeriodicExportingMetricReader({ exporter: measured, exportIntervalMillis: 3_600_000 })],
})
/** Where spans go beside the memory, for a test. */
let elsewhere: SpanProcessor | undefined
const forwarding: SpanProcessor = {
  onStart() {},
  onEnd: (span) => elsewhere?.onEnd(span),
  forceFlush: async () => elsewhere?.forceFlush(),
  shutdown: async () => elsewhere?.shutdown(),
}
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(memory), forwarding] })

beforeAll(() => {
  provider.register() // with the W3C propagator and an asynchronous context, as the SDK does by default
  api.metrics.setGlobalMeterProvider(meters)
})
afterAll(async () => {
  await provider.shutdown()
  await meters.shutdown()
})
beforeEach(() => memory.reset())

const tracer = api.trace.getTracer("test")
const work = defineJob<string>({ name: "work", maxAttempts: 3, backoff: { initial: 0 } })
const more = defineJob<number>({ name: "more" })

/** Spans of this name, by their end. */
const named = (name: string): ReadableSpan[] => memory.getFinishedSpans().filter((span) => span.name === name)

const found = (name: string, count = 1): Promise<ReadableSpan[]> =>
  until(() => (named(name).length >= count ? named(name) : undefined)) as Promise<ReadableSpan[]>

const isChildOf = (child: ReadableSpan, parent: ReadableSpan): void => {
  expect(child.parentSpanContext?.spanId).toBe(parent.spanContext().spanId)
  expect(child.spanContext().traceId).toBe(parent.spanContext().traceId)
}

const linksOf = (span: ReadableSpan): string[] => span.links.map((link) => link.context.spanId)

test("one trace leads from the caller through the push to the run, what it calls, and its settlement", async () => {
  const { app, addWorker } = await startApp({ worker: false, app: { plugins: [telemetry({ api })] } })
  await addWorker({ handlers: [work.handler(() => tracer.startActiveSpan("inside", (span) => span.end()))] })
  const job = await tracer.startActiveSpan("request", async (span) => {
    const pushed = await app.push(work, "x")
    span.end()
    return pushed
  })
  await job.result({ timeout: "10s" })
  const [settle] = await found("settle work")
  const [request, push, run, inside] = ["request", "push work", "run work", "inside"].map((name) => named(name)[0]!)
  isChildOf(push!, request!)
  isChildOf(run!, push!)
  isChildOf(inside!, run!)
  isChildOf(settle!, run!)
  expect(push).toMatchObject({
    kind: api.SpanKind.PRODUCER,
    attributes: {
      "messaging.system": "millrace",
      "messaging.operation.name": "push",
      "messaging.operation.type": "send",
      "messaging.destination.name": "default",
      "messaging.message.id": job.id,
    },
  })
  expect(run).toMatchObject({
    kind: api.SpanKind.CONSUMER,
    status: { code: api.SpanStatusCode.UNSET },
    attributes: { "messaging.message.id": job.id, "millrace.job.name": "work", "millrace.job.attempt": 1 },
  })
  expect(settle!.attributes).toMatchObject({ "millrace.job.state": "succeeded" })
  const claim = named("claim default").find((span) => linksOf(span).includes(push!.spanContext().spanId))
  expect(claim).toMatchObject({ kind: api.SpanKind.CLIENT, attributes: { "messaging.batch.message_count": 1 } })
  expect(claim!.parentSpanContext).toBeUndefined()
})

test("the trace goes on through the steps of a workflow, and from a schedule's tick to its job", async () => {
  const flows = workflows()
  const schedules = cron()
  const { app, addWorker } = await startApp({
    worker: false,
    app: { plugins: [telemetry({ api }), flows, schedules] },
  })
  await addWorker({ handlers: [work.handler((payload) => payload)] })
  const two = workflow("two", (w: Builder<string>) => {
    const first = w.step("first", work, w.input)
    w.step("second", work, "y", { after: first })
  })
  const pushed = await tracer.startActiveSpan("order", async (span) => {
    const made = await flows.push(two, "x")
    span.end()
    return made
  })
  await pushed.result({ timeout: "20s" })
  const [order] = named("order")
  const runs = named("run work").filter((span) => span.spanContext().traceId === order!.spanContext().traceId)
  expect(runs).toHaveLength(2)
  await schedules.schedule(work, "z", { key: "soon", every: "1s" })
  const tick = await until(async () => (await schedules.ticks("soon")).find(({ job }) => job !== undefined))
  await app.job(tick!.job!).result({ timeout: "20s" })
  expect((await app.job(tick!.job!).get())!.meta).toMatchObject({ trace: expect.anything() })
})

test("each retry is in the trace of the push, and linked to the attempt before, also on another worker", async () => {
  const { app, addWorker } = await startApp({ worker: false, app: { plugins: [telemetry({ api })] } })
  const failing = work.handler((_, job) => {
    if (job.attempt === 1) throw new TypeError("first")
    return job.attempt === 2 ? retryAfter("1ms", "second") : undefined
  })
  await addWorker({ handlers: [failing] })
  await addWorker({ handlers: [failing] })
  const job = await app.push(work, "x")
  await job.result({ timeout: "10s" })
  const runs = await found("run work", 3)
  const [push] = named("push work")
  for (const run of runs) isChildOf(run, push!)
  expect(runs.map(linksOf)).toEqual([[], [runs[0]!.spanContext().spanId], [runs[1]!.spanContext().spanId]])
  expect(runs[0]).toMatchObject({
    status: { code: api.SpanStatusCode.ERROR, message: "first" },
    attributes: { "error.type": "TypeError" },
    events: [{ name: "exception", attributes: { "exception.type": "TypeError", "exception.message": "first" } }],
  })
  expect(runs[1]!.status.code).toBe(api.SpanStatusCode.UNSET) // what a handler decides itself is no failure
  const states = (await found("settle work", 3)).map((span) => span.attributes["millrace.job.state"])
  expect(states).toEqual(["retrying", "retrying", "succeeded"])
})

test("what a handler pushes belongs to its run, at once or with its success; snoozing keeps the trace", async () => {
  const { app, addWorker } = await startApp({ worker: false, app: { plugins: [telemetry({ api })] } })
  let snoozed = false
  await addWorker({
    handlers: [
      work.handler(async (what, job) => {
        if (what === "snooze" && !snoozed) {
          snoozed = true
          return snooze("1ms")
        }
        await job.app.push(more, 1)
        await job.push(more, 2)
        return undefined
      }),
      more.handler(() => {}),
    ],
  })
  await (await app.push(work, "snooze")).result({ timeout: "10s" })
  const runs = await found("run work", 2)
  expect(linksOf(runs[1]!)).toEqual([runs[0]!.spanContext().spanId])
  const pushes = await found("push more", 2)
  for (const push of pushes) isChildOf(push, runs[1]!)
  expect(pushes.map((push) => push.attributes["messaging.operation.type"])).toEqual(["send", "create"])
  const [first, second] = await found("run more", 2)
  const parents = [first!, second!].map((run) => run.parentSpanContext!.spanId).toSorted()
  expect(parents).toEqual(pushes.map((push) => push.spanContext().spanId).toSorted())
})

test("a job that was made for another one, or by a producer in another language, is linked to what its meta brings", async () => {
  const { app, addWorker, sql } = await startApp({ worker: false, app: { plugins: [telemetry({ api })] } })
  await addWorker({ handlers: [work.handler(() => {})] })
  const traceId = "0af7651916cd43dd8448eb211c80319c"
  const trace = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
  // As a schedule or a workflow pushes: nothing active, and the meta of what it pushes for.
  const scheduled = await app.push(work, "scheduled", { meta: { trace, tenant: 7 } })
  await scheduled.result({ timeout: "10s" })
  const [push] = await found("push work")
  expect(push!.spanContext().traceId).not.toBe(traceId)
  expect(linksOf(push!)).toEqual(["b7ad6b7169203331"])
  expect((await scheduled.get())!.meta).toMatchObject({ tenant: 7 })
  const step = await app.push(work, "step", { meta: { workflow: { id: "w-1", step: "pack" } } })
  await step.result({ timeout: "10s" })
  expect((await found("run work", 2))[1]!.attributes).toMatchObject({
    "millrace.workflow.id": "w-1",
    "millrace.workflow.step": "pack",
  })
  // From SQL no plugin sees the push: the run itself takes the trace up.
  memory.reset()
  await sql("select $schema.push('work', '\"sql\"', $1::jsonb)", [{ meta: { trace } }])
  const [run] = await found("run work")
  expect(run).toMatchObject({ parentSpanContext: { spanId: "b7ad6b7169203331", traceId } })
})

test("jobs of one pushMany share its span; a user's own value under the key is left alone", async () => {
  const { app, addWorker } = await startApp({ worker: false, app: { plugins: [telemetry({ api, relation: "link" })] } })
  await addWorker({ handlers: [work.handler(() => {})] })
  const jobs = await app.pushMany(work, ["a", "b"], { meta: { customer: 1 } })
  await app.wait(jobs, { timeout: "10s" })
  const [push] = named("push work")
  expect(push!.attributes["messaging.batch.message_count"]).toBe(2)
  for (const run of await found("run work", 2)) {
    expect(run.parentSpanContext).toBeUndefined() // relation: "link"
    expect(linksOf(run)).toEqual([push!.spanContext().spanId])
  }
  const own = await app.push(work, "c", { meta: { trace: "mine" } })
  await own.result({ timeout: "10s" })
  expect((await own.get())!.meta).toEqual({ trace: "mine" })
})

test("a push that fails has failed as it would without the plugin, and its span says why", async () => {
  const { app } = await startApp({ worker: false, app: { plugins: [telemetry({ api })], maxPayload: 100 } })
  const large = "x".repeat(200)
  await expect(app.push(work, large)).rejects.toMatchObject({ code: "MILLRACE_PAYLOAD_TOO_LARGE" })
  await expect(app.pushMany(work, ["a", large])).rejects.toMatchObject({ code: "MILLRACE_PAYLOAD_TOO_LARGE" })
  expect(named("push work").map((span) => span.status.code)).toEqual([
    api.SpanStatusCode.ERROR,
    api.SpanStatusCode.ERROR,
  ])
})

test("instruments follow the conventions for messaging", async () => {
  const { app, addWorker } = await startApp({ worker: false, app: { plugins: [telemetry({ api, spans: [] })] } })
  await addWorker({
    handlers: [
      work.handler(() => {
        throw new RangeError("no")
      }),
    ],
  })
  await app.declareQueue("measured")
  const jobs = await app.pushMany(work, ["a", "b"], { queue: "measured", maxAttempts: 1 })
  await app.wait(jobs, { timeout: "10s" })
  const points = async (name: string) => {
    measured.reset()
    await meters.forceFlush()
    const metrics = measured.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
    return metrics
      .filter((metric) => metric.descriptor.name === name)
      .flatMap((metric) => [...metric.dataPoints])
      .filter((point) => point.attributes["messaging.destination.name"] === "measured")
  }
  await until(async () => (await points("millrace.attempts"))[0]?.value === 2)
  expect(await points("millrace.attempts")).toMatchObject([
    {
      value: 2,
      attributes: { "millrace.job.state": "failed", "millrace.job.name": "work", "error.type": "RangeError" },
    },
  ])
  expect(await points("messaging.client.sent.messages")).toMatchObject([{ value: 2 }])
  expect(await points("messaging.client.consumed.messages")).toMatchObject([{ value: 2 }])
  expect(await points("messaging.process.duration")).toMatchObject([
    { value: { count: 2 }, attributes: { "messaging.operation.type": "process", "error.type": "RangeError" } },
  ])
  const operations = (await points("messaging.client.operation.duration")).map(
    (point) => point.attributes["messaging.operation.name"],
  )
  expect(new Set(operations)).toEqual(new Set(["claim", "push", "settle"]))
  expect(memory.getFinishedSpans()).toEqual([])
})

test("spans reach a collector over OTLP/HTTP", async () => {
  const bodies: string[] = []
  const collector = createServer((request, response) => {
    request.setEncoding("utf8")
    let body = ""
    request.on("data", (chunk: string) => (body += chunk))
    request.on("end", () => {
      if (request.url === "/v1/traces") bodies.push(body)
      response.writeHead(200, { "content-type": "application/json" }).end("{}")
    })
  })
  await new Promise<void>((listening) => collector.listen(0, "127.0.0.1", listening))
  onTestFinished(() => void collector.close())
  const url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`
  elsewhere = new BatchSpanProcessor(new OTLPTraceExporter({ url }))
  onTestFinished(async () => {
    await elsewhere?.shutdown()
    elsewhere = undefined
  })
  const { app, addWorker } = await startApp({ worker: false, app: { plugins: [telemetry({ api })] } })
  await addWorker({ handlers: [work.handler(() => {})] })
  await (await app.push(work, "secret payload")).result({ timeout: "10s" })
  await until(async () => {
    await provider.forceFlush()
    return ["push work", "run work", "settle work"].every((name) => bodies.some((body) => body.includes(`"${name}"`)))
  })
  expect(bodies.join("")).not.toContain("secret payload")
})

test("options that do not fit are refused", () => {
  expect(() => telemetry({} as never)).toThrow(/telemetry.api: is required/)
  expect(() => telemetry({ api: {} } as never)).toThrow(/must be the module @opentelemetry\/api/)
  expect(() => telemetry({ api, tracer: 1 } as never)).toThrow(/Register a tracer provider/)
})
