// Counts while the database is away, or does not say whether it has taken them.
import { Millrace } from "millrace"
import { leadership, metrics, Worker, type MetricsPlugin, type Plugin, type PluginContext } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { collector } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"
import { TcpProxy } from "../support/tcp-proxy.ts"

/** A worker behind a proxy, a context to measure with, and a look at what arrived that does not go through the proxy. */
async function behindProxy() {
  const { url, schema, addApp } = await startApp({ worker: false })
  const proxy = await TcpProxy.start(url)
  onTestFinished(() => proxy.close())
  const log = collector()
  const app = new Millrace({ dsn: proxy.through(url), schema, logger: log })
  onTestFinished(() => app.close())
  let seen: PluginContext | undefined
  const own: Plugin = { name: "own", onStart: (ctx) => void (seen = ctx) }
  const plugins = [own, leadership({ mode: "always" }), metrics({ every: "50ms" })]
  const worker = new Worker(app, { plugins, lease: "60s", shutdownTimeout: 0 })
  onTestFinished(async () => void (await worker.forceStop()))
  await worker.start()
  const ctx = await until(() => seen!)
  const reader = addApp({ plugins: [metrics()] }).plugin<MetricsPlugin>("metrics")
  const counted = async () => {
    const { series } = await reader.query({ prefix: "things", resolution: "1d" })
    return (series[0]?.points.at(-1) as { count: number } | undefined)?.count ?? 0
  }
  return { proxy, worker, log, things: ctx.metrics.counter("things"), counted }
}

const isWrite = ({ text }: { text: string }) => text.includes("metrics_write_1")

test("what was counted while the database was away arrives when it is back, once", async () => {
  const { proxy, worker, log, things, counted } = await behindProxy()
  things.add(3)
  await until(async () => (await counted()) === 3)
  proxy.refuse()
  proxy.cut()
  for (let round = 1; round <= 5; round++) {
    things.add(2)
    // Another interval has passed, whose batch could not be sent.
    await until(() => log.lines.some(({ fields }) => Number(fields?.["waiting"]) > round))
  }
  proxy.heal()
  things.add()
  await until(async () => (await counted()) === 14)
  expect(worker.health().plugins.find(({ name }) => name === "metrics")).toMatchObject({ state: "running", crashes: 0 })
})

test("a write whose answer is lost is sent again, and counts once", async () => {
  const { proxy, things, counted } = await behindProxy()
  const held = proxy.holdReply({ statement: isWrite })
  things.add(5)
  const reply = await held
  const sent = proxy.count(isWrite)
  reply.cut()
  things.add(2)
  await until(async () => (await counted()) === 7 && proxy.count(isWrite) >= sent + 2)
  expect(await counted()).toBe(7)
})
