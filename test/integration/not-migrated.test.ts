import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { defineJob, Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, rejection, type Fixture } from "../support/app.ts"
import { ended } from "../support/worker-fixture.ts"

let own: Fixture
beforeAll(async () => {
  own = await fixture()
})
afterAll(() => own.close())

const task = defineJob({ name: "task" })

test("a worker on a database that was never migrated is refused, and told what to do", async () => {
  const app = await own.app({ schema: "nothing_here", migrate: false })
  const worker = new Worker(app)
  const error = await rejection(worker.start())
  expect(error).toMatchObject({ code: "MILLRACE_NOT_MIGRATED" })
  expect(error.message).toContain("app.migrate()")
  expect(error.message).toContain('"nothing_here"')
  expect(worker.state).toBe("stopped")
  expect(await worker.stop()).toBe(true)
})

test("run() is refused like start()", async () => {
  const app = await own.app({ schema: "nothing_here", migrate: false })
  const before = process.listenerCount("SIGTERM")
  expect(await rejection(new Worker(app).run())).toMatchObject({ code: "MILLRACE_NOT_MIGRATED" })
  expect(process.listenerCount("SIGTERM")).toBe(before)
})

test("after the migration a new worker starts", async () => {
  const app = await own.app({ schema: "soon_here", migrate: false })
  expect(await rejection(new Worker(app).start())).toMatchObject({ code: "MILLRACE_NOT_MIGRATED" })
  await app.migrate()
  await using _worker = await own.worker(app, { handlers: [task.handler(() => {})] })
  expect(await ended(app, await app.push(task))).toMatchObject({ state: "succeeded" })
})

test("a worker whose database cannot be reached is refused with MILLRACE_NOT_CONNECTED", async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve)) // nobody listens there now
  await using app = new Millrace({ dsn: `postgres://nobody@127.0.0.1:${port}/nothing`, logger: false })
  const worker = new Worker(app)
  const error = await rejection(worker.start())
  expect(error).toMatchObject({ code: "MILLRACE_NOT_CONNECTED", cause: { code: "ECONNREFUSED" } })
  expect(worker.state).toBe("stopped")
})

test("two installations in different schemas of one database never meet", async () => {
  const one = await own.app({ schema: "one" })
  const two = await own.app({ schema: "two" })
  const where = defineJob<undefined, string>({ name: "where" })
  await using _one = await own.worker(one, { id: "same", handlers: [where.handler(() => "one")] })
  await using _two = await own.worker(two, { id: "same", handlers: [where.handler(() => "two")] })
  const jobs = [await one.push(where), await two.push(where)]
  expect(await Promise.all(jobs.map((job) => job.result({ timeout: "20s" })))).toEqual(["one", "two"])
  expect(await two.job(jobs[0]!.id).get()).toBeUndefined()
})
