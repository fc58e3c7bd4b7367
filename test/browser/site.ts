// The dashboard over a database of its own, with workers that run the shop of these tests.
import { defineJob, discard, type Millrace } from "millrace"
import { serveWeb, type Visitor } from "millrace/web"
import type { Worker } from "millrace/worker"
import { fixture, type Fixture } from "../support/app.ts"
import { shopHandlers, shopPlugins } from "./shop.ts"

export interface Invoice {
  readonly customer: { readonly id: number; readonly name: string }
  readonly amount: number
}

/** Refuses what costs less than nothing. */
export const invoice = defineJob<Invoice, { number: string }>({
  name: "send-invoice",
  queue: "billing",
  maxAttempts: 1,
})
export const quick = defineJob<unknown, string>({ name: "quick", queue: "quick" })
export const unserved = defineJob({ name: "print-label", queue: "labels" })

export interface Site extends AsyncDisposable {
  readonly url: string
  readonly app: Millrace
  readonly worker: Worker
  readonly fixture: Fixture
  /** Who comes in next. */
  become(visitor: Visitor): void
}

/** With every plugin that there is; `bare`: with none but those that each worker has. */
export async function startSite({ bare = false } = {}): Promise<Site> {
  const base = await fixture()
  const app = await base.app({
    plugins: bare ? [] : shopPlugins(),
    queues: [{ name: "billing", concurrency: 4 }, { name: "quick" }, { name: "labels", tags: ["has=printer"] }],
  })
  await app.declareQueue({ name: "labels", tags: ["has=printer"] })
  const worker = await base.worker(app, {
    id: "worker-1",
    handlers: [
      invoice.handler(({ amount, customer }, job) => {
        job.log("looking at it", { amount })
        if (amount < 0) return discard(new RangeError(`cannot charge ${amount} to customer ${customer.id}`))
        return { number: `INV-${customer.id}` }
      }),
      quick.handler((payload) => JSON.stringify(payload)),
      ...(bare ? [] : shopHandlers),
    ],
  })
  let visitor: Visitor = { name: "ada", role: "admin" }
  const server = await serveWeb(app, { port: 0, auth: () => visitor })
  return {
    url: server.url,
    app,
    worker,
    fixture: base,
    become: (next) => void (visitor = next),
    async [Symbol.asyncDispose]() {
      await server.close()
      await base.close()
    },
  }
}

/** Some jobs of every state. */
export async function seed({ app }: Site): Promise<{ failed: string; waiting: string }> {
  await app.pushMany(
    quick,
    Array.from({ length: 30 }, (_, index) => ({ index })),
  )
  const good = await app.push(invoice, { customer: { id: 7, name: "Grace" }, amount: 12 }, { tags: ["europe"] })
  const failed = await app.push(
    invoice,
    { customer: { id: 4711, name: "Ada" }, amount: -5 },
    { uniqueKey: "invoice-4711" },
  )
  await app.push(quick, { later: true }, { runAt: "in 2h" })
  const waiting = await app.push(unserved, { order: 1 })
  const away = await app.push(quick, { away: true }, { runAt: "in 1h" })
  await away.cancel("nobody wants it")
  await app.wait([good, failed])
  return { failed: failed.id, waiting: waiting.id }
}
