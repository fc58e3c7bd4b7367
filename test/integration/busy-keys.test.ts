import { defineJob } from "millrace"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const keyed = defineJob<string, string>({ name: "keyed", uniqueKey: (key) => key })

/** A client in an open transaction, rolled back at the end. */
async function begin(url: string, how = "begin"): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  onTestFinished(() => client.end())
  await client.query(how)
  return client
}

test("a key that a transaction holds does not hold up pushes with other keys", async () => {
  const { app, url } = await startApp({ worker: false })
  const tx = await begin(url)
  await app.push(keyed, "held", { tx })
  const waiting = app.push(keyed, "held")
  await until(async () => (await waitingFor(tx)) > 0)
  let settled = false
  void waiting.then(() => (settled = true))
  expect(await app.push(keyed, "free")).toMatchObject({ duplicate: false })
  expect(settled).toBe(false)
  await tx.query("commit")
  expect(await waiting).toMatchObject({ duplicate: true })
}, 10_000)

test("a holder that a repeatable-read transaction cannot see is a serialization failure of that transaction", async () => {
  const { app, url } = await startApp({ worker: false })
  const tx = await begin(url, "begin isolation level repeatable read")
  await tx.query("select 1")
  await app.push(keyed, "k")
  await expect(app.push(keyed, "k", { tx })).rejects.toMatchObject({ code: "40001" })
})

/** How many sessions wait for this one. */
async function waitingFor(tx: pg.Client): Promise<number> {
  const { rows } = await tx.query(
    "select count(*)::integer as n from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))",
  )
  return rows[0].n
}
