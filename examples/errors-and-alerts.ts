// Three failures that are one error, somebody who is told of it, and who is told that it is over.
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"
import { defineJob, Millrace } from "millrace"
import { alerts, errorGroups, webhook, Worker, type ErrorGroups, type Notification } from "millrace/worker"

// Whoever is told: a chat, a pager.
const pager = createServer((request, response) => {
  void json(request).then((body) => {
    const { kind, event } = body as Notification
    console.log(`${kind}: ${event.text}`)
    response.end(() => pager.emit("told"))
  })
}).listen(0, "127.0.0.1")
await once(pager, "listening")
const url = `http://127.0.0.1:${(pager.address() as AddressInfo).port}`

const charge = defineJob<{ customer: number }>({ name: "charge", maxAttempts: 1 })

await using app = new Millrace({
  dsn: process.env.DATABASE_URL,
  logger: false,
  plugins: [
    errorGroups(),
    alerts({
      rules: [{ name: "new error", kind: "error" }],
      channels: [webhook({ url, secret: "known to both" })],
      every: "100ms",
    }),
  ],
})
await app.migrate()
await using worker = new Worker(app, {
  handlers: [
    charge.handler(({ customer }) => {
      throw new RangeError(`customer ${customer} has no card`)
    }),
  ],
})
await worker.start()

const told = once(pager, "told")
await app.wait(await app.pushMany(charge, [{ customer: 17 }, { customer: 18 }, { customer: 23 }]), { timeout: "10s" })
await told

const errors = app.plugin<ErrorGroups>("errors")
const [group] = (await errors.list({ state: "open" })).groups
console.log(`${group!.count} times ${group!.name}: ${group!.pattern}`)
console.log((await errors.get(group!.fingerprint)).jobs.map(({ name, count }) => `${name} ${count}`))

const over = once(pager, "told")
await errors.resolve(group!.fingerprint) // it would open again by itself
await over
pager.close()
