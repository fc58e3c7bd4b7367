// The dashboard and its API mounted into a server of the application's own, with its own idea of who may come in.
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { defineJob, Millrace } from "millrace"
import type { Visitor } from "millrace/web"

const mail = defineJob<{ to: string; password?: string }>({ name: "mail", queue: "mail" })

/** What an application knows of its users: by a session, in real life. */
const users: Record<string, Visitor> = {
  ada: { name: "ada", role: "admin" },
  vera: { name: "vera", role: "viewer", queues: ["mail*"] },
}

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
await app.push(mail, { to: "Ada", password: "secret" })
await app.push(mail, { to: "Grace" })

const dashboard = app.webHandler({
  basePath: "/jobs",
  auth: (request) => users[request.headers.get("x-user") ?? ""],
})
const server = createServer((request, response) => {
  if (request.url?.startsWith("/jobs")) void dashboard.node(request, response)
  else response.end("the application itself")
})
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jobs/api/v1`

// Somebody who only reads.
const list = await fetch(`${api}/jobs?q=queue:mail`, { headers: { "x-user": "vera" } })
const { jobs } = (await list.json()) as { jobs: { payloadPreview: string }[] }
for (const { payloadPreview } of jobs) console.log(payloadPreview)

// A program, with a token of its own.
const json = { "content-type": "application/json" }
const origin = new URL(api).origin
const made = await fetch(`${api}/tokens`, {
  method: "POST",
  headers: { ...json, origin, "x-user": "ada" },
  body: JSON.stringify({ name: "ci", scopes: ["jobs:cancel", "operations:read"], expiresIn: "1d" }),
})
const { secret } = (await made.json()) as { secret: string }
const operation = await fetch(`${api}/operations`, {
  method: "POST",
  headers: { ...json, authorization: `Bearer ${secret}` },
  body: JSON.stringify({ action: "cancel", q: "payload.to:Grace", dryRun: true }),
})
console.log(operation.status, JSON.stringify(await operation.json()))

// Nobody.
console.log((await fetch(`${api}/jobs`)).status)

await dashboard.close()
server.closeAllConnections()
server.close()
