// An order as a workflow: charge, reserve, ship each item at the same time, tell the customer; and when something fails for
// good, undo what was done. The order is written by a web request, and its workflow with it, in one transaction.
import { createServer } from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { defineJob, Millrace, workflow, workflows } from "millrace"
import { Worker } from "millrace/worker"
import pg from "pg"
import { z } from "zod"

const charge = defineJob<{ order: number; cents: number }, { receipt: string }>({ name: "charge" })
const refund = defineJob<{ receipt: string }>({ name: "refund" })
const reserve = defineJob<{ items: string[] }, { shelf: number }>({ name: "reserve" })
const release = defineJob<{ shelf: number }>({ name: "release" })
const ship = defineJob<{ item: string; shelf: number }, { parcel: string }>({
  name: "ship",
  maxAttempts: 2,
  backoff: { initial: 0 },
})
const recall = defineJob<{ parcel: string }>({ name: "recall" })
const mail = defineJob<{ to: string; text: string; parcels: { parcel: string }[] }>({ name: "mail" })

const Order = z.object({ id: z.number(), cents: z.number(), email: z.string(), items: z.array(z.string()) })

const order = workflow(
  "order",
  Order,
  (w) => {
    const paid = w
      .step("charge", charge, { order: w.input.id, cents: w.input.cents })
      .undo(refund, (result) => ({ receipt: result.receipt }))
    const reserved = w
      .step("reserve", reserve, { items: w.input.items }, { after: paid })
      .undo(release, (result) => ({ shelf: result.shelf }))
    const parcels = w
      .map("ship", ship, w.input.items, (item) => ({ item, shelf: reserved.result.shelf }), { window: 10 })
      .undo(recall, (result) => ({ parcel: result.parcel }))
    w.step("mail", mail, { to: w.input.email, text: w.text`Paid: ${paid.result.receipt}`, parcels })
    return { receipt: paid.result.receipt, parcels }
  },
  { onFailure: "compensate" },
)

const said: string[] = []
const handlers = [
  charge.handler(({ order: id, cents }) => ({ receipt: `R${id}-${cents}` })),
  refund.handler(({ receipt }) => void said.push(`refunded ${receipt}`)),
  reserve.handler(() => ({ shelf: 4 })),
  release.handler(({ shelf }) => void said.push(`released shelf ${shelf}`)),
  ship.handler(({ item }, { attempt }) => {
    if (item === "glass") throw new Error("it broke")
    if (attempt === 1) throw new Error("the van is late") // it is tried again
    return { parcel: `P-${item}` }
  }),
  recall.handler(({ parcel }) => void said.push(`recalled ${parcel}`)),
  mail.handler(({ to, text, parcels }) => void said.push(`${to}: ${text}, ${parcels.length} parcels`)),
]

const flows = workflows()
await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false, plugins: [flows] })
await app.migrate()
await using worker = new Worker(app, { handlers })
await worker.start()

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
await pool.query("create table orders (id serial primary key, email text not null)")

/** Stores the order and its workflow: both, or neither. */
async function take(given: { email: string; cents: number; items: string[] }): Promise<string> {
  const client = await pool.connect()
  try {
    await client.query("begin")
    const { rows } = await client.query("insert into orders (email) values ($1) returning id", [given.email])
    const pushed = await flows.push(order, { id: rows[0].id, ...given }, { tx: client })
    if (given.items.length === 0) throw new Error("an empty order")
    await client.query("commit")
    return pushed.id
  } catch (error) {
    await client.query("rollback")
    throw error
  } finally {
    client.release()
  }
}

const server = createServer((request, response) => {
  void request
    .toArray()
    .then(async (chunks) => take(JSON.parse(Buffer.concat(chunks).toString())))
    .then(
      (id) => response.writeHead(202).end(id),
      (error: Error) => response.writeHead(400).end(error.message),
    )
})
server.listen(0, "127.0.0.1")
await once(server, "listening")

const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const post = (body: object) => fetch(url, { method: "POST", body: JSON.stringify(body) })

const good = await (await post({ email: "ada@example.org", cents: 500, items: ["book", "lamp"] })).text()
console.log(await flows.get(good).result({ timeout: "20s" }))
console.log(said.splice(0))

const bad = await (await post({ email: "bob@example.org", cents: 900, items: ["book", "glass"] })).text()
const failed = await flows.get(bad).wait({ timeout: "20s" })
console.log(failed.state, failed.failure?.step, failed.undone)
console.log(said.splice(0))

const empty = await post({ email: "eve@example.org", cents: 0, items: [] })
console.log(empty.status, (await pool.query("select count(*)::int as orders from orders")).rows)

server.close()
await pool.end()
