import { defineJob } from "millrace"
import { Worker } from "millrace/worker"
import { once } from "node:events"
import { expect, test } from "vitest"
import { gate } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })

test("a job that is cancelled while its worker stops ends cancelled", async () => {
  const started = gate()
  const { app, worker } = await startApp({
    shutdownTimeout: "1h",
    handlers: [
      task.handler(async (_, job) => {
        started.open()
        await once(job.signal, "abort")
        job.signal.throwIfAborted()
      }),
    ],
  })
  const job = await app.push(task, 1)
  await started.opened
  const stopping = worker.stop()
  expect(await job.cancel()).toBe("requested")
  expect(await stopping).toBe(true)
  expect(await job.get()).toMatchObject({ state: "cancelled" })
})

test("closing an app twice is closing it once, and nothing stays connected", async () => {
  const { addApp, url, sql } = await startApp({ worker: false })
  const app = addApp({ dsn: `${url}?application_name=closing` })
  await app.push(task, 1)
  await expect(app.job("01890a5d-ac96-774b-bcce-b302099a8057").result()).rejects.toMatchObject({
    code: "MILLRACE_UNKNOWN_JOB",
  })
  const sessions = () => sql("select from pg_stat_activity where application_name = 'closing'")
  expect((await sessions()).length).toBeGreaterThan(0)
  await Promise.all([app.close(), app.close()])
  await until(async () => (await sessions()).length === 0)
})

test("a worker that has stopped and an app that is closed leave no session on the server", async () => {
  const { addApp, url, sql } = await startApp({ worker: false })
  const app = addApp({ dsn: `${url}?application_name=leaving` })
  const worker = new Worker(app, { handlers: [task.handler(() => 1)] })
  await worker.start()
  await (await app.push(task, 1)).result()
  await worker.stop()
  await app.close()
  await until(async () => (await sql("select from pg_stat_activity where application_name = 'leaving'")).length === 0)
})
