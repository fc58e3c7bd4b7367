// A table that pushes jobs itself: any program that writes to it does, in its own transaction.
import { defineJob, Millrace, triggers } from "millrace"
import { Worker } from "millrace/worker"
import pg from "pg"
import { z } from "zod"

const confirm = defineJob({ name: "confirm", payload: z.object({ user: z.number(), address: z.email() }) })

const pushes = triggers()
await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false, plugins: [pushes] })
await app.migrate()

const database = new pg.Client(process.env.DATABASE_URL)
await database.connect()
await database.query("create table users (id integer primary key, email text, seen integer default 0)")
const { installed } = await pushes.on("users", ["insert", "update"], confirm, {
  columns: ["email"],
  payload: { user: "id", address: { sql: "lower(new.email)" } },
  sample: { id: 1, email: "ada@example.org" },
})
console.log(installed.length, "triggers")

await database.query("insert into users values (1, 'Ada@example.org'), (2, 'Grace@example.org')")
await database.query("update users set seen = seen + 1") // not the address
await database.query("update users set email = 'ada@example.com' where id = 1")
await database.end()

const addresses: string[] = []
await using worker = new Worker(app, { handlers: [confirm.handler(({ address }) => void addresses.push(address))] })
await worker.start()
await app.wait((await app.find({ name: "confirm" })).jobs.map(({ id }) => app.job(id)))
console.log(addresses.sort())
