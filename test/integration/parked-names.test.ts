import { defineJob } from "millrace"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const known = defineJob<unknown, unknown>({ name: "known" })
const unknown = defineJob<unknown, unknown>({ name: "unknown" })

test("more parked jobs than are released at a time are all released", async () => {
  const { app, addWorker, sql } = await startApp()
  await app.pushMany(unknown, Array.from({ length: 1_300 }))
  const count = async (where: string) => (await sql<{ n: number }>(`select count(*)::integer as n from ${where}`))[0]!.n
  await until(async () => (await count("$schema.jobs where state = 'blocked'")) === 1_300)
  await addWorker({ handlers: [unknown.handler(() => 1)] })
  await until(async () => (await count("$schema.jobs_history where state = 'succeeded'")) === 1_300)
})

test("a parked job that is given a later time waits for that instead", async () => {
  const { app } = await startApp()
  const job = await app.push(unknown, 1)
  await app.wait([job], { states: ["blocked"] })
  await job.update({ runAt: "in 1h", payload: 2 })
  expect(await job.get()).toMatchObject({ state: "scheduled", blockedBy: undefined, payload: 2 })
})

test("a name in the database never loads code", async () => {
  const odd = defineJob<unknown>({ name: "__proto__" })
  const constructor = defineJob<unknown>({ name: "constructor" })
  const { app } = await startApp({ handlers: [known.handler(() => 1)] })
  const jobs = [await app.push(odd, 1), await app.push(constructor, 1)]
  for (const record of await app.wait(jobs, { states: ["blocked"] })) expect(record.blockedBy).toBe("handler")
})
