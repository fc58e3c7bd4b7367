// A producer that knows nothing but SQL, and may do nothing but push and cancel.
import { randomBytes } from "node:crypto"
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import pg from "pg"

const welcome = defineJob<{ name: string }, string>({ name: "welcome", queue: "mail", maxAttempts: 3 })

await using app = new Millrace({ dsn: process.env.DATABASE_URL, logger: false })
await app.migrate()
await using worker = new Worker(app, { handlers: [welcome.handler(({ name }, job) => `${job.queue}: hello ${name}`)] })
await worker.start() // announces what "welcome" means: its queue, its attempts

// Once, by the owner of the schema: a role for the producer.
const owner = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const role = `signup_${randomBytes(4).toString("hex")}`
await owner.query(`create role ${role}`)
await owner.query("select millrace.grant_producer($1)", [role])

// The producer: psql, a trigger, any language with a driver.
const producer = await owner.connect()
await producer.query(`set role ${role}`)
const { rows } = await producer.query<{ push: string }>(`select millrace.push('welcome', '{"name": "Ada"}')`)
console.log(await app.job<string>(rows[0]!.push).result({ timeout: "10s" }))

await producer.query("begin")
await producer.query(`select millrace.push('welcome', '{"name": "nobody"}', '{"priority": 5}')`)
await producer.query("rollback") // it never was

const { rows: later } = await producer.query<{ push: string }>(
  `select millrace.push('welcome', '{"name": "Grace"}', '{"delay": "1h", "unique_key": "grace"}')`,
)
const { rows: cancelled } = await producer.query("select millrace.cancel($1, 'she left') as cancelled", [
  later[0]!.push,
])
console.log(cancelled)

for (const statement of [
  `select millrace.push('welcome', '{}', '{"maxAttempts": 3}')`,
  "select * from millrace.jobs",
]) {
  await producer.query(statement).catch((error: pg.DatabaseError) => console.log(error.message, error.hint ?? ""))
}

await producer.query("reset role")
producer.release()
await owner.query(`drop owned by ${role}; drop role ${role}`)
await owner.end()
