import { defineJob } from "millrace"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { rejection } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })

test("a wait for a job that is deleted meanwhile ends", async () => {
  const { app } = await startApp({ worker: false, queues: [] })
  await app.declareQueue("doomed")
  const job = await app.push(task, 1, { queue: "doomed" })
  const outcome = rejection(job.result())
  await app.deleteQueue("doomed", { jobs: true })
  expect(await outcome).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
})

test("asking for the result of a job does not keep workers from starting it", async () => {
  const { app, sql, url, schema } = await startApp({
    queues: [{ name: "default", pollInterval: "1h" }],
    handlers: [task.handler((n) => n)],
  })
  // The statement that says "somebody waits" holds the row until the gatekeeper lets go; claims skip it meanwhile.
  await sql(`create function $schema.hold() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock_shared(7); return new; end $$`)
  await sql(`create trigger hold before update on $schema.jobs for each row
    when (new.awaited and not old.awaited) execute function $schema.hold()`)
  const gatekeeper = new pg.Client({ connectionString: url })
  await gatekeeper.connect()
  onTestFinished(() => gatekeeper.end())
  await gatekeeper.query("select pg_advisory_lock(7)")
  const job = await app.push(task, "held", { wake: false })
  const result = app.job(job.id).result({ timeout: "10s" })
  await until(async () => (await sql("select from pg_locks where locktype = 'advisory' and not granted")).length > 0)
  // The worker is woken, finds nothing that it may have, and is quiet.
  const [{ now } = { now: "" }] = await sql<{ now: string }>("select clock_timestamp()::text as now")
  await sql("select pg_notify($1, 'r default')", [`${schema}_events`])
  const claims = `select from pg_stat_activity where query ~ 'cycle_1' and pid <> pg_backend_pid() and state_change >`
  await until(async () => (await sql(`${claims} $1::timestamptz`, [now])).length > 0)
  await until(async () => (await sql(`${claims} clock_timestamp() - interval '500 milliseconds'`)).length === 0)
  await gatekeeper.query("select pg_advisory_unlock(7)")
  expect(await result).toBe("held")
})

test("a job never starts before its time, also by the clock of a claim that was sent before", async () => {
  const { app, sql, url, schema } = await startApp({
    queues: [{ name: "default", pollInterval: "1h" }],
    handlers: [task.handler(() => 1)],
  })
  const later = await app.push(task, "later", { delay: "500ms" })
  // Claims read the queue's row: this one is sent now, and goes on when the other job has become ready.
  const blocker = new pg.Client({ connectionString: url })
  await blocker.connect()
  onTestFinished(() => blocker.end())
  await blocker.query("begin")
  await blocker.query(`lock table ${schema}.queues in access exclusive mode`)
  await app.push(task, "now")
  await until(
    async () =>
      (await sql("select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'cycle_1'")).length > 0,
  )
  await until(
    async () => (await sql("select from $schema.jobs where state = 'pending' and id = $1", [later.id])).length === 1,
  )
  await blocker.query("commit")
  await later.result()
  const { startedAt, runAt } = (await later.get())!
  expect(startedAt!.getTime()).toBeGreaterThanOrEqual(runAt.getTime())
})
