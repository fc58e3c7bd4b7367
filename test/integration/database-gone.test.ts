import { createServer, type AddressInfo } from "node:net"
import { defineJob, Millrace, type MillraceOptions } from "millrace"
import { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, rejection, type Fixture } from "../support/app.ts"

let own: Fixture
beforeAll(async () => {
  own = await fixture()
  await own.app()
})
afterAll(() => own.close())

const work = defineJob<string>({ name: "work" })

/** A port that nobody listens on. */
async function unusedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function onNowhere(options: Omit<MillraceOptions, "dsn"> = {}) {
  const port = await unusedPort()
  return new Millrace({ dsn: `postgres://nobody@127.0.0.1:${port}/nowhere`, logger: false, ...options })
}

test("a push to a database that is not there is given up at pushTimeout, as one that may have happened", async () => {
  await using app = await onNowhere({ pushTimeout: "400ms" })
  const started = performance.now()
  const error = await rejection(app.push(work, "x"))
  expect(error).toMatchObject({ code: "MILLRACE_PUSH_UNKNOWN", cause: { code: "MILLRACE_NOT_CONNECTED" } })
  expect(error.message).toMatch(/job [0-9a-f-]{36}: it may or may not be there. Push again with the same `id`/)
  // It kept trying, but no further attempt began after the time was over.
  expect(performance.now() - started).toBeLessThan(20_000)
})

test("a push is tried again and again until its time is over", async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  try {
    await using app = new Millrace({
      dsn: `postgres://nobody@127.0.0.1:${port}/nowhere`,
      logger: false,
      pushTimeout: "1s",
    })
    expect(await rejection(app.push(work, "x"))).toMatchObject({ code: "MILLRACE_PUSH_UNKNOWN" })
    expect(connections).toBeGreaterThan(1)
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})

test("each of many concurrent pushes is told its own id", async () => {
  await using app = await onNowhere({ pushTimeout: "50ms" })
  const errors = await Promise.all(["a", "b", "c"].map((payload) => rejection(app.push(work, payload))))
  expect(errors.map(({ code }) => code)).toEqual(Array(3).fill("MILLRACE_PUSH_UNKNOWN"))
  const ids = errors.map(({ message }) => /job ([0-9a-f-]{36})/.exec(message)?.[1])
  expect(ids).not.toContain(undefined)
  expect(new Set(ids).size).toBe(3)
})

test("pushMany is given up as well", async () => {
  await using app = await onNowhere({ pushTimeout: "50ms" })
  const error = await rejection(app.pushMany(work, ["a", "b"]))
  expect(error).toMatchObject({ code: "MILLRACE_PUSH_UNKNOWN" })
  expect(error.message).toContain("2 jobs")
})

test("bad input is told at once, without asking a database", async () => {
  await using app = await onNowhere()
  expect(await rejection(app.push(work, 1n as never))).toMatchObject({ code: "MILLRACE_BAD_JSON" })
})

test("closing gives up a push that keeps failing", async () => {
  const app = await onNowhere({ pushTimeout: "1h" })
  const gone = rejection(app.push(work, "x"))
  await app.close()
  expect(await gone).toMatchObject({ code: "MILLRACE_PUSH_UNKNOWN" })
})

test("closing gives up a push with an id, and one of many, that keep failing", async () => {
  const app = await onNowhere({ pushTimeout: "1h" })
  const gone = [
    rejection(app.push(work, "x", { id: "0198c0de-0000-7000-8000-000000000000" })),
    rejection(app.push(work, "x", { uniqueKey: "k" })),
    rejection(app.pushMany(work, ["x", "y"])),
  ]
  await app.close()
  for (const one of gone) expect(await one).toMatchObject({ code: "MILLRACE_PUSH_UNKNOWN" })
})

test("a worker does not start without its database, and says so; it can be stopped", async () => {
  await using app = await onNowhere({ pushTimeout: "50ms" })
  const worker = new Worker(app, { handlers: [work.handler(() => {})] })
  const error = await rejection(worker.start())
  expect(error).toMatchObject({ code: "MILLRACE_NOT_CONNECTED", cause: { code: "ECONNREFUSED" } })
  expect(error.message).toMatch(/database/)
  await worker.stop()
})

test.each<[string, (app: Millrace) => Promise<unknown>]>([
  ["migrate", (app) => app.migrate()],
  ["queues", (app) => app.queues()],
  ["declareQueue", (app) => app.declareQueue("q")],
  ["get", (app) => app.job("0198c0de-0000-7000-8000-000000000000").get()],
  ["cancel", (app) => app.job("0198c0de-0000-7000-8000-000000000000").cancel()],
])("%s without its database says that the database could not be reached", async (_, call) => {
  await using app = await onNowhere()
  expect(await rejection(call(app))).toMatchObject({ code: "MILLRACE_NOT_CONNECTED" })
})

test("waiting for a result outlasts a database that is away, and ends at its timeout", async () => {
  await using app = await onNowhere()
  const error = await rejection(app.job("0198c0de-0000-7000-8000-000000000000").result({ timeout: "500ms" }))
  expect(error).toMatchObject({ code: "MILLRACE_TIMEOUT" })
})

test("pushes whose connections are cut meanwhile are stored once each", async () => {
  await using app = new Millrace({ dsn: own.url, logger: false, maxConnections: 2 })
  let pushed = 0
  let cut = 0
  while (cut < 3) {
    const pushes = Array.from({ length: 5 }, () => app.push(work, `${pushed++}`, { queue: "cut" }))
    const { rowCount } = await own.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'millrace'",
    )
    cut += rowCount ?? 0
    await Promise.all(pushes)
  }
  const { rows } = await own.pool.query(
    "select count(*)::int as jobs, count(distinct payload)::int as different from millrace.jobs where queue = 'cut'",
  )
  expect(rows[0]).toEqual({ jobs: pushed, different: pushed })
})
