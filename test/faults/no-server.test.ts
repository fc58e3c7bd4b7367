import net from "node:net"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { Scene } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** A port that nobody listens on: it is ours, and connecting to it is refused. */
async function deadPort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test("a worker whose database is not there does not start: MILLRACE_NOT_CONNECTED", async () => {
  const app = new Millrace({ dsn: `postgres://postgres@127.0.0.1:${await deadPort()}/postgres`, logger: false })
  onTestFinished(() => app.close())
  const worker = new Worker(app)
  await expect(worker.start()).rejects.toMatchObject({ code: "MILLRACE_NOT_CONNECTED" })
  expect(worker.state).toBe("stopped")
})

test("a program whose run() finds no database exits with an error code, and says why", async () => {
  const scene = await Scene.open(database.url)
  const dsn = `postgres://postgres@127.0.0.1:${await deadPort()}/postgres`
  const program = await scene.worker("program", { app: { dsn }, waits: false })
  expect(await program.ended()).toEqual({ code: 1, signal: null })
  expect(program.output).toContain("MILLRACE_NOT_CONNECTED")
})

test("a worker whose database accepts connections and says nothing does not start: MILLRACE_NOT_CONNECTED", async () => {
  const scene = await Scene.open(database.url)
  const proxy = await scene.newProxy()
  proxy.blackhole()
  const worker = new Worker(scene.newApp({ dsn: proxy.through(database.url) }))
  await expect(worker.start()).rejects.toMatchObject({ code: "MILLRACE_NOT_CONNECTED" })
})

test("a worker that is cut off while it registers does not start", async () => {
  const scene = await Scene.open(database.url)
  const proxy = await scene.newProxy()
  const registering = proxy.swallow({ statement: ({ text }) => /insert into .*workers/.test(text) })
  const program = await scene.worker("program", { proxy, waits: false })
  await registering
  expect(await program.ended()).toEqual({ code: 1, signal: null })
  expect(program.output).toContain("MILLRACE_NOT_CONNECTED")
})
