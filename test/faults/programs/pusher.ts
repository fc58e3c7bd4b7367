// Pushes a job inside a transaction of its own, says so, and waits to be killed, or told to commit.
import pg from "pg"
import { Millrace } from "millrace"
import type { Order, Report } from "../../support/worker-process.ts"
import { machineTime } from "../../support/worker-process.ts"
import { quick } from "../jobs.ts"

const plan = JSON.parse(process.env.MILLRACE_PLAN!) as { dsn: string; schema: string; queue: string }
const say = (report: Report) => process.send!({ ...report, at: machineTime() })

process.on("disconnect", () => process.exit(3))
const told = new Promise<Order>((resolve) => process.once("message", resolve))

const app = new Millrace({ dsn: plan.dsn, schema: plan.schema, logger: false })
const client = new pg.Client({ connectionString: plan.dsn })
await client.connect()
await client.query("begin")
const job = await app.push(quick, { n: 1 }, { tx: client, queue: plan.queue })
say({ kind: "pushed", job: job.id })
await told
await client.query("commit")
await client.end()
await app.close()
process.removeAllListeners("disconnect")
