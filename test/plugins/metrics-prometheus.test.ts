import { defineJob } from "millrace"
import { leadership, metrics, type Plugin } from "millrace/worker"
import { expect, test } from "vitest"
import { parsePrometheus, type Family } from "../support/prometheus.ts"
import { startApp, until } from "../support/start-app.ts"

const first = () => leadership({ lease: "900ms", every: "100ms" })
const quick = { every: "50ms", queuesEvery: "50ms", databaseEvery: "50ms" } as const
const work = defineJob<boolean>({ name: "work", maxAttempts: 1 })
const handler = work.handler((well) => {
  if (!well) throw new Error("no")
})
const awkward: Plugin = {
  name: "awkward",
  onStart(ctx) {
    ctx.metrics.counter("awkward.things", { text: 'a "b"\\\n{c="d"},é' }).add(2)
    ctx.metrics.histogram("awkward.sizes").record(3)
  },
}

const valueOf = (family: Family | undefined, labels: object, suffix = "") =>
  family?.samples.find(
    (sample) =>
      sample.name === family.name + suffix &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )?.value

test("a scraper understands every line, from the route and from the worker's own endpoint", async () => {
  const { app, worker } = await startApp({
    handlers: [handler],
    plugins: [first(), metrics(quick), awkward],
    queues: [{ name: "idle", tags: [] }],
    health: { port: 0 },
    id: "mill-1",
  })
  await app.pushMany(work, [true, true], { queue: "idle" })
  await app.wait(await app.pushMany(work, [true, false, true]), { timeout: "20s" })
  const read = async () => {
    const response = await worker.route(new Request("http://localhost/plugins/metrics/prometheus"))!
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
    return parsePrometheus(await response.text())
  }
  const families = await until(async () => {
    const found = await read()
    return valueOf(found.get("millrace_queue_depth"), { queue: "idle", state: "pending" }) === 2 &&
      found.has("millrace_db_connections")
      ? found
      : undefined
  })
  const ended = families!.get("millrace_jobs_ended_total")
  expect(ended!.type).toBe("counter")
  expect(valueOf(ended, { name: "work", queue: "default", outcome: "succeeded" })).toBe(2)
  expect(valueOf(ended, { outcome: "failed" })).toBe(1)
  expect(valueOf(families!.get("millrace_jobs_run_seconds"), { outcome: "succeeded" }, "_count")).toBe(2)
  expect(valueOf(families!.get("millrace_queue_depth"), { queue: "idle", state: "pending", exact: "true" })).toBe(2)
  expect(valueOf(families!.get("millrace_worker_info"), { worker: "mill-1", leads: "true" })).toBe(1)
  expect(valueOf(families!.get("millrace_awkward_things_total"), { text: 'a "b"\\\n{c="d"},é' })).toBe(2)
  expect(valueOf(families!.get("millrace_awkward_sizes"), { le: "4" }, "_bucket")).toBe(1)
  expect(valueOf(families!.get("millrace_awkward_sizes"), { le: "2" }, "_bucket")).toBe(0)

  const scraped = await fetch(`http://127.0.0.1:${worker.healthPort}/metrics`)
  expect(scraped.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
  expect([...parsePrometheus(await scraped.text()).keys()]).toEqual(expect.arrayContaining([...families!.keys()]))
})
