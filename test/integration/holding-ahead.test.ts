import { defineJob } from "millrace"
import { expect, test } from "vitest"
import { gate, type Gate } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })

/** Jobs that run until they are told to end, in the order in which they started. */
function held() {
  const started: { payload: unknown; gate: Gate }[] = []
  let active = 0
  let most = 0
  const handler = task.handler(async (payload) => {
    const one = { payload, gate: gate() }
    started.push(one)
    active += 1
    most = Math.max(most, active)
    await one.gate.opened
    active -= 1
    return payload
  })
  return {
    handler,
    started,
    openAll: () => started.forEach((one) => one.gate.open()),
    active: () => active,
    /** The most that ran at a time since this was last asked. */
    most() {
      const result = most
      most = active
      return result
    },
  }
}

test("with claimAhead 0 a worker claims no more than it runs", async () => {
  const { handler, started, openAll } = held()
  const { app, sql } = await startApp({
    queues: [{ name: "default", concurrency: 2, claimAhead: 0 }],
    handlers: [handler],
  })
  const jobs = await app.pushMany(task, [1, 2, 3, 4, 5, 6])
  for (let done = 0; done < 6; done += 2) {
    await until(() => started.length === done + 2)
    const [row] = await sql("select count(*)::integer as n from $schema.jobs where state = 'running'")
    expect(row).toEqual({ n: 2 })
    openAll()
  }
  await app.wait(jobs)
})

test("with claimAhead a worker holds as many jobs more", async () => {
  const { handler, started, openAll } = held()
  const { app, sql } = await startApp({
    queues: [{ name: "default", concurrency: 1, claimAhead: 3, pollInterval: "1h" }],
    handlers: [handler],
  })
  const jobs = await app.pushMany(task, [1, 2, 3, 4, 5, 6])
  await until(async () => (await sql("select from $schema.jobs where state = 'running'")).length === 4)
  await until(() => started.length > 0)
  expect(started).toHaveLength(1)
  const done = app.wait(jobs)
  await until(() => (openAll(), started.length === 6))
  openAll()
  await done
})

test("a queue without a concurrency of its own runs 100 jobs at a time", async () => {
  const { handler, started, openAll, most } = held()
  const { app } = await startApp({ handlers: [handler] })
  const jobs = await app.pushMany(
    task,
    Array.from({ length: 130 }, (_, n) => n),
  )
  await until(() => started.length === 100)
  await until(() => (openAll(), started.length === 130))
  openAll()
  await app.wait(jobs)
  expect(most()).toBe(100)
})

test("deleting a queue that does not exist deletes no jobs", async () => {
  const { app, sql } = await startApp({ worker: false })
  await app.push(task, 1, { queue: "ghost" })
  await expect(app.deleteQueue("ghost", { jobs: true })).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_QUEUE" })
  expect(await sql("select from $schema.jobs")).toHaveLength(1)
})
