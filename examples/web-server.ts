// A worker inside a web server: one process, one graceful shutdown.
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"

const thumbnail = defineJob<{ image: string }, { bytes: number }>({ name: "thumbnail", maxAttempts: 3 })

const app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
const worker = new Worker(app, { handlers: [thumbnail.handler(async ({ image }) => ({ bytes: image.length }))] })
await worker.start() // does not touch process signals; `run()` would

const server = createServer((request, response) => {
  void (async () => {
    const [, route, value = ""] = new URL(request.url ?? "/", "http://localhost").pathname.split("/")
    if (request.method === "POST" && route === "thumbnails") {
      const job = await app.push(thumbnail, { image: value }, { uniqueKey: value })
      response.writeHead(202, { location: `/jobs/${job.id}` }).end()
    } else if (route === "jobs") {
      const job = await app.job(value).get()
      response.writeHead(job ? 200 : 404, { "content-type": "application/json" }).end(JSON.stringify(job ?? null))
    } else response.writeHead(404).end()
  })().catch((error: unknown) => response.writeHead(400).end(String(error)))
})

async function shutDown() {
  server.close()
  await worker.stop() // lets jobs finish, hands back what does not, saves every outcome
  await app.close()
}
process.once("SIGTERM", () => void shutDown())

// Try it once, as a client would.
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const accepted = await fetch(`${url}/thumbnails/cat.png`, { method: "POST" })
const location = accepted.headers.get("location")!
await app.job(location.split("/").at(-1)!).result({ timeout: "10s" })
const { state, result } = (await (await fetch(url + location)).json()) as { state: string; result: unknown }
console.log(accepted.status, state, JSON.stringify(result))
await shutDown()
