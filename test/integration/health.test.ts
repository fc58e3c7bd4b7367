import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import net from "node:net"
import { expect, onTestFinished, test } from "vitest"
import { FrameReader } from "../support/pg-frames.ts"
import { TcpProxy } from "../support/tcp-proxy.ts"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob({ name: "work" })

async function ask(worker: Worker, path: string, method = "GET") {
  const response = await fetch(`http://127.0.0.1:${worker.healthPort}${path}`, { method })
  const text = await response.text()
  const json = response.headers.get("content-type")!.startsWith("application/json")
  return { status: response.status, body: json && text !== "" ? (JSON.parse(text) as Record<string, unknown>) : text }
}

test("a worker that runs is healthy and ready, and says what it knows", async () => {
  const { worker } = await startApp({ handlers: [work.handler(() => {})], health: { port: 0 }, id: "mill-1" })
  await until(() => worker.health().notifications === "arriving" && worker.health().heartbeat.alive)
  const health = worker.health()
  expect(health).toMatchObject({
    healthy: true,
    ready: true,
    reasons: [],
    state: "running",
    worker: "mill-1",
    listener: "listening",
    heartbeat: { alive: true },
    database: { reachable: true, pooler: false, error: undefined },
  })
  expect(health.database.version).toMatch(/^\d+/)
  expect(health.database.schema).toBe(health.database.neededSchema)
  expect(health.heartbeat.age).toBeGreaterThanOrEqual(0)
  // One machine, one clock: they differ by no more than the question took.
  expect(Math.abs(health.clockDifference!)).toBeLessThan(1_000)
  expect((await ask(worker, "/healthz")).status).toBe(200)
  const ready = await ask(worker, "/readyz")
  expect(ready.status).toBe(200)
  expect(ready.body).toMatchObject({ ok: true, reasons: [], database: { reachable: true } })
})

test("the endpoint answers what it is asked, and nothing else", async () => {
  const { worker } = await startApp({ health: { port: 0 }, defaultPlugins: false })
  expect((await ask(worker, "/readyz?verbose", "HEAD")).status).toBe(200)
  expect((await ask(worker, "/metrics")).status).toBe(404)
  expect((await ask(worker, "/")).status).toBe(404)
  expect((await ask(worker, "/readyz", "POST")).status).toBe(405)
  const port = worker.healthPort
  await worker.stop()
  await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow("fetch failed")
})

test("a worker whose database is gone is alive and not ready, and ready again when it is back", async () => {
  const { url, schema } = await startApp({ worker: false })
  const proxy = await TcpProxy.start(url)
  onTestFinished(() => proxy.close())
  const app = new Millrace({ dsn: proxy.through(url), schema, logger: false })
  onTestFinished(() => app.close())
  const worker = new Worker(app, { health: { port: 0 }, heartbeat: "100ms", lease: "30s", shutdownTimeout: 0 })
  onTestFinished(async () => void (await worker.forceStop()))
  await worker.start()
  expect((await ask(worker, "/readyz")).status).toBe(200)
  proxy.refuse()
  proxy.cut()
  const down = await until(async () => {
    const answer = await ask(worker, "/readyz")
    return answer.status === 503 ? answer.body : undefined
  })
  expect(down).toMatchObject({ ok: false, ready: false, database: { reachable: false } })
  expect((down as { reasons: string[] }).reasons[0]).toMatch(/^the database could not be reached/)
  expect((await ask(worker, "/healthz")).status).toBe(200)
  proxy.heal()
  await until(async () => (await ask(worker, "/readyz")).status === 200)
})

test("a pooler is seen by its telling clients of a server process that is another one", async () => {
  const { url, schema } = await startApp({ worker: false })
  const pooler = await renaming(url)
  const through = new URL(url)
  through.hostname = "127.0.0.1"
  through.port = String(pooler)
  const app = new Millrace({ dsn: through.href, schema, logger: false })
  onTestFinished(() => app.close())
  const worker = new Worker(app)
  onTestFinished(async () => void (await worker.forceStop()))
  await worker.start()
  expect(worker.health()).toMatchObject({ ready: true, database: { pooler: true } })
})

/** A proxy that, like poolers, makes up the process number that it tells its clients. Returns its port. */
async function renaming(url: string): Promise<number> {
  const { hostname, port } = new URL(url)
  const listener = net.createServer((client) => {
    const server = net.connect(Number(port), hostname)
    const reader = new FrameReader(false)
    server.on("data", (chunk) => {
      for (const { type, bytes } of reader.read(chunk)) {
        if (type === "K") bytes.writeInt32BE(4_000_000, 5)
        client.write(bytes)
      }
    })
    client.pipe(server)
    client.on("close", () => server.destroy())
    server.on("close", () => client.destroy())
    for (const socket of [client, server]) socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => void listener.close())
  return (listener.address() as net.AddressInfo).port
}

test("a port that is taken is told before the worker starts", async () => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => void server.close())
  const { app } = await startApp({ worker: false })
  const { port } = server.address() as net.AddressInfo
  const worker = new Worker(app, { health: { port } })
  await expect(worker.start()).rejects.toMatchObject({ code: "MILLRACE_BAD_OPTION", message: /cannot listen on 127/ })
  expect(worker.state).toBe("stopped")
})

test.each([
  [{ port: 70_000 }, /port from 0 to 65535/],
  [{ port: 1, path: "/x" }, /has no "path"/],
  [8080, /must be an object/],
  [{ port: 1, host: 2 }, /text as its host/],
])("an endpoint that cannot be is refused: %j", async (health, message) => {
  const { app } = await startApp({ worker: false })
  expect(() => new Worker(app, { health: health as never })).toThrow(message)
})

test("a blocked event loop is seen afterwards", async () => {
  const { worker } = await startApp({})
  // Again and again: what measures the loop has to have come round once before it can see that it does not.
  const block = () => {
    const end = performance.now() + 300
    while (performance.now() < end);
    return worker.health().loop.blocked
  }
  await expect.poll(block, { timeout: 20_000 }).toBeGreaterThan(200)
})
