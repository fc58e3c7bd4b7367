import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, type Fixture } from "../support/app.ts"
import { range } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const double = defineJob<{ n: number }, number>({ name: "double" })

/** Pushes what is posted, and answers with the job's result. */
async function serve(): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    void (async () => {
      const n = Number(new URL(request.url ?? "/", "http://localhost").searchParams.get("n"))
      const job = await app.push(double, { n })
      const result = await job.result({ timeout: "20s" })
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id: job.id, result }))
    })().catch((error: unknown) => response.writeHead(500).end(String(error)))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const closed = (server: Server) =>
  new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })

test("a worker inside a web server answers requests with the results of jobs", async () => {
  await using _worker = await own.worker(app, { handlers: [double.handler(async ({ n }) => n * 2)] })
  const { server, url } = await serve()
  try {
    const answers = await Promise.all(
      range(50).map(
        async (n) => (await (await fetch(`${url}/?n=${n}`, { method: "POST" })).json()) as { result: number },
      ),
    )
    expect(answers.map(({ result }) => result)).toEqual(range(50).map((n) => n * 2))
  } finally {
    await closed(server)
  }
})

test("server and worker shut down together, and the request under way is answered", async () => {
  const reached = gate()
  const open = gate()
  const before = process.listenerCount("SIGTERM")
  const worker = await own.worker(app, {
    handlers: [
      double.handler(async ({ n }) => {
        reached.open()
        await open.opened
        return n * 2
      }),
    ],
  })
  const { server, url } = await serve()
  const answer = fetch(`${url}/?n=21`, { method: "POST" })
  await reached.opened
  const down = Promise.all([closed(server), worker.stop()])
  open.open()
  expect(await (await answer).json()).toMatchObject({ result: 42 })
  expect((await down)[1]).toBe(true)
  expect(process.listenerCount("SIGTERM")).toBe(before)
})
