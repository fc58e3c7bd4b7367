import { defineJob } from "millrace"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { gate } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })

test("an app opens no more connections of its own than it may", async () => {
  const { addApp, url, sql } = await startApp({ worker: false })
  const app = addApp({ dsn: `${url}?application_name=few`, maxConnections: 2 })
  let most = 0
  let done = false
  const pushes = Promise.all(
    Array.from({ length: 60 }, (_, n) => app.push(task, n, { id: crypto.randomUUID() })),
  ).finally(() => (done = true))
  await until(async () => {
    most = Math.max(most, (await sql("select from pg_stat_activity where application_name = 'few'")).length)
    return done
  })
  await pushes
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(2)
})

test("a statement that takes longer than queryTimeout has failed", async () => {
  const { addApp, sql, schema, url } = await startApp({ worker: false })
  const app = addApp({ queryTimeout: "100ms" })
  await app.declareQueue("q")
  const blocker = new pg.Client({ connectionString: url })
  await blocker.connect()
  onTestFinished(() => blocker.end())
  await blocker.query("begin")
  await blocker.query(`lock table ${schema}.queues in access exclusive mode`)
  await expect(app.queues()).rejects.toMatchObject({
    code: "MILLRACE_QUERY_TIMEOUT",
    message: expect.stringMatching(/100 ms/),
  })
  await blocker.query("rollback")
  expect(await sql("select from $schema.queues")).toHaveLength(1)
  expect(await app.queues()).toHaveLength(1)
})

test("a connection that the server ends is replaced", async () => {
  const go = gate()
  const { app, sql, worker, log } = await startApp({
    queues: [{ name: "default", pollInterval: 100 }],
    handlers: [task.handler(async (n) => (n === "wait" ? (await go.opened, n) : n))],
  })
  const running = await app.push(task, "wait")
  await until(() => worker.running === 1)
  await sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'millrace%' and datname = current_database()",
  )
  expect(await (await app.push(task, "after")).result()).toBe("after")
  go.open()
  expect(await running.result()).toBe("wait")
  expect(await running.get()).toMatchObject({ attempts: 1, claims: 1 })
  expect(log.lines.filter(({ message }) => /lost its lease/.test(message))).toEqual([])
})
