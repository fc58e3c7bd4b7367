import { defineJob, type Transaction } from "millrace"
import type { WorkerOptions } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })
const child = defineJob<unknown, unknown>({ name: "child" })

/** An app whose handlers write into a table of the user's. */
async function withLedger(options: (insert: (tx: Transaction, text: string) => Promise<unknown>) => WorkerOptions) {
  const table = `ledger_${(ledgers += 1)}`
  const started = await startApp({ worker: false })
  await started.sql(`create table ${table} (entry text unique)`)
  await started.addWorker(options((tx, text) => tx.query(`insert into ${table} values ($1)`, [text])))
  const ledger = async () =>
    (await started.sql<{ entry: string }>(`select entry from ${table} order by 1`)).map((row) => row.entry)
  return { ...started, ledger }
}
let ledgers = 0

test("a savepoint around what may fail keeps the rest", async () => {
  const { app, ledger } = await withLedger((insert) => ({
    handlers: [
      task.handler((_, job) =>
        job.transaction(async (tx) => {
          await insert(tx, "kept")
          await tx.query("savepoint s")
          await insert(tx, "kept").catch(() => tx.query("rollback to s"))
          return "fine"
        }),
      ),
    ],
  }))
  expect(await (await app.push(task, 1)).result()).toBe("fine")
  expect(await ledger()).toEqual(["kept"])
})

test("a job can be pushed with the handler's own transaction", async () => {
  const { app } = await startApp({
    handlers: [
      task.handler((_, job) =>
        job.transaction(async (tx) => (await app.push(child, 1, { tx, queue: "elsewhere" })).id),
      ),
    ],
  })
  const id = (await (await app.push(task, 1)).result()) as string
  expect(await app.job(id).get()).toMatchObject({ name: "child" })
})

test("many transactions at once each commit once", async () => {
  const { app, ledger } = await withLedger((insert) => ({
    handlers: [task.handler((n, job) => job.transaction((tx) => insert(tx, String(n).padStart(3, "0")).then(() => n)))],
  }))
  const numbers = Array.from({ length: 50 }, (_, n) => n)
  const jobs = await app.pushMany(task, numbers)
  expect((await app.wait(jobs)).map((record) => record.result)).toEqual(numbers)
  expect(await ledger()).toEqual(numbers.map((n) => String(n).padStart(3, "0")))
})

test("a transaction commits for a job whose retention no partition covers yet", async () => {
  const { app } = await startApp({ handlers: [task.handler((_, job) => job.transaction(() => "done"))] })
  const job = await app.push(task, 1, { retention: "100d", maxAttempts: 3, backoff: { initial: 0 } })
  expect(await job.result()).toBe("done")
})
