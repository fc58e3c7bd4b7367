import { defineJob, Millrace } from "millrace"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { fileDatabase, startApp, until } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })

test("a notification of one installation is not heard by another", async () => {
  const one = await startApp({ worker: false })
  const two = await startApp({ worker: false })
  const heard: string[] = []
  const listener = new pg.Client({ connectionString: one.url })
  listener.on("notification", ({ channel, payload }) => heard.push(`${channel} ${payload}`))
  await listener.connect()
  onTestFinished(() => listener.end())
  await listener.query(`listen ${one.schema}_events`)
  await two.app.push(task, 1, { queue: "q-two" })
  await one.app.push(task, 1, { queue: "q-one" })
  await until(() => heard.length > 0)
  await two.app.declareQueue("q-two")
  await one.app.declareQueue("q-one")
  const wakeUps = () => heard.filter((line) => !line.includes("_events e ")) // events of hubs travel there as well
  await until(() => wakeUps().length > 1)
  expect(wakeUps()).toEqual([`${one.schema}_events r q-one`, `${one.schema}_events q q-one`])
  expect(heard.filter((line) => !line.startsWith(one.schema))).toEqual([])
})

test("a wake-up names a queue and never carries the data of a job", async () => {
  const { app, url, schema } = await startApp({ worker: false })
  const heard: (string | undefined)[] = []
  const listener = new pg.Client({ connectionString: url })
  listener.on("notification", ({ payload }) => heard.push(payload))
  await listener.connect()
  onTestFinished(() => listener.end())
  await listener.query(`listen ${schema}_events`)
  await app.push(task, { secret: "s3cret" })
  await until(() => heard.length > 0)
  expect(heard).toEqual(["r default"])
})

test("a schema may be called like a word of SQL", async () => {
  const { url } = await fileDatabase()
  for (const schema of ["select", "user", "_", "a1_b2", "x".repeat(40)]) {
    await using app = new Millrace({ dsn: url, schema, logger: false })
    await app.migrate()
    const job = await app.push(task, { n: 1 })
    expect(await job.get()).toMatchObject({ payload: { n: 1 } })
    await app.migrate({ to: 0 })
  }
})
