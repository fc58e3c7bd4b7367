// A job that exists exactly if the order does, and an effect that happens exactly once.
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import pg from "pg"

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const app = new Millrace({ pool, logger: false })
await app.migrate()
await pool.query("create table if not exists orders (id int primary key, paid boolean not null default false)")

const charge = defineJob<{ order: number }>({ name: "charge" })

/** The row and the job are committed together, or neither is. */
async function placeOrder(id: number, fail = false) {
  const client = await pool.connect()
  try {
    await client.query("begin")
    await client.query("insert into orders (id) values ($1)", [id])
    const job = await app.push(charge, { order: id }, { tx: client })
    if (fail) throw new Error("the customer changed their mind")
    await client.query("commit")
    return job
  } catch (error) {
    await client.query("rollback")
    throw error
  } finally {
    client.release()
  }
}

const worker = new Worker(app, {
  handlers: [
    charge.handler(({ order }, job) =>
      // The update and the job's completion are one transaction: it cannot be charged twice.
      job.transaction(async (tx) => {
        await tx.query("update orders set paid = true where id = $1 and not paid", [order])
      }),
    ),
  ],
})
await worker.start()

const job = await placeOrder(1)
await placeOrder(2, true).catch((error: Error) => console.log(`order 2: ${error.message}`))
await job.result({ timeout: "10s" })
const { rows } = await pool.query("select id, paid from orders order by id")
console.log(JSON.stringify(rows))

await worker.stop()
await app.close()
await pool.end()
