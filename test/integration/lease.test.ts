import { randomUUID } from "node:crypto"
import { defineJob, type Millrace } from "millrace"
import { Worker } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, rejection, shortClocks, until, type Fixture } from "../support/app.ts"
import { ended, fired, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
})
afterAll(() => own.close())

interface Row {
  incarnation: string
  alive: boolean
  expires_at: Date
}

async function rowOf(id: string): Promise<Row | undefined> {
  const { rows } = await own.pool.query<Row>(
    "select incarnation, expires_at > now() as alive, expires_at from millrace.workers where id = $1",
    [id],
  )
  return rows[0]
}

const expire = (id: string) =>
  own.pool.query("update millrace.workers set expires_at = now() - interval '1 second' where id = $1", [id])

test("the lease is renewed while the worker runs", async () => {
  await using worker = await own.worker(app, { id: "renewed" })
  const first = (await rowOf("renewed"))!
  const later = await until(async () => {
    const row = await rowOf("renewed")
    return row!.expires_at > first.expires_at && row
  }, "it is renewed")
  expect(later.incarnation).toBe(first.incarnation)
  expect(worker.state).toBe("running")
})

test("a second live worker with the same id is refused with MILLRACE_WORKER_ID_TAKEN", async () => {
  await using first = await own.worker(app, { id: "twin" })
  const second = new Worker(app, { ...shortClocks, id: "twin" })
  const error = await rejection(second.start())
  expect(error).toMatchObject({ code: "MILLRACE_WORKER_ID_TAKEN", message: expect.stringContaining('"twin"') })
  expect(second.state).toBe("stopped")
  expect(await second.stop()).toBe(true)
  expect(first.state).toBe("running")
  expect((await rowOf("twin"))!.alive).toBe(true)
})

test("the id of a stopped worker is free at once", async () => {
  const first = await own.worker(app, { id: "again" })
  await first.stop()
  await using second = await own.worker(app, { id: "again" })
  expect(second.state).toBe("running")
})

test("the id of a dead worker is taken over once its lease is over, and its jobs run again", async () => {
  const dead = randomUUID()
  const orphan = defineJob<undefined, unknown>({ name: "orphan" })
  const job = await app.push(orphan)
  await own.pool.query(
    `insert into millrace.workers (incarnation, id, hostname, pid, tags, expires_at)
     values ($1, 'reborn', 'gone', 1, '{}', now() + interval '700 milliseconds')`,
    [dead],
  )
  await own.pool.query(
    "update millrace.jobs set state = 'running', token = $2, worker = $3, claims = 1, started_at = now() where id = $1",
    [job.id, randomUUID(), dead],
  )
  await using worker = await own.worker(app, {
    id: "reborn",
    handlers: [orphan.handler((_, { crashes, claims, attempt }) => ({ crashes, claims, attempt }))],
  })
  expect(worker.state).toBe("running")
  expect((await rowOf("reborn"))!.incarnation).not.toBe(dead)
  expect(await job.result({ timeout: "20s" })).toEqual({ crashes: 1, claims: 2, attempt: 1 })
})

test("a worker whose lease expired fires the signals with MILLRACE_LEASE_LOST, registers anew, and works on", async () => {
  const reasons: (string | undefined)[] = []
  const open = gate()
  const long = defineJob<undefined, string>({ name: "long" })
  await using worker = await own.worker(app, {
    id: "frozen",
    handlers: [
      long.handler(async (_, job) => {
        if (job.claims > 1) return `claim ${job.claims}, crash ${job.crashes}`
        reasons.push((await fired(job.signal)).code)
        await open.opened
        return "what the first claim made of it"
      }),
    ],
  })
  const before = (await rowOf("frozen"))!
  const job = await app.push(long)
  await until(() => worker.running === 1, "it runs")
  await expire("frozen")
  const after = await until(async () => {
    const row = await rowOf("frozen")
    return row?.alive && row.incarnation !== before.incarnation && row
  }, "it registers anew")
  expect(after.incarnation).not.toBe(before.incarnation)
  expect(await ended(app, job)).toMatchObject({
    state: "succeeded",
    result: "claim 2, crash 1",
    attempts: 1,
    crashes: 1,
  })
  expect(reasons).toEqual(["MILLRACE_LEASE_LOST"])
  open.open()
  await until(() => worker.running === 0, "the first handler came back")
  const next = await app.push(long)
  await reached(app, next, "running")
  await next.cancel()
  await ended(app, next)
  expect(await job.get()).toMatchObject({ result: "claim 2, crash 1" })
  expect(log.lines).toContainEqual(
    expect.objectContaining({ level: "error", message: expect.stringContaining("has lost its lease") }),
  )
})

test("the jobs of a dead worker are taken back by any other, and fail after maxCrashes", async () => {
  const fatal = defineJob({ name: "fatal" })
  const job = await app.push(fatal)
  const kill = async () => {
    const dead = randomUUID()
    await own.pool.query(
      `insert into millrace.workers (incarnation, id, hostname, pid, tags, expires_at)
       values ($1, $2, 'gone', 1, '{}', now() + interval '1 hour')`,
      [dead, `killed ${dead}`],
    )
    await own.pool.query(
      `update millrace.jobs set state = 'running', token = $2, worker = $3, claims = claims + 1 where id = $1`,
      [job.id, randomUUID(), dead],
    )
    await expire(`killed ${dead}`)
  }
  await app.declareQueue("default")
  await app.pauseQueue("default") // so that it is killed again before it runs
  await using _worker = await own.worker(app, { maxCrashes: 2, handlers: [fatal.handler(() => {})] })
  await kill()
  expect(await reached(app, job, "pending")).toMatchObject({ state: "pending", crashes: 1, attempts: 0 })
  await kill()
  const record = await ended(app, job)
  expect(record).toMatchObject({ state: "failed", crashes: 2, attempts: 0, errors: [{ code: "MILLRACE_CRASHED" }] })
  await app.resumeQueue("default")
})

test("a cancel that was asked for takes effect when the worker is lost", async () => {
  const dead = randomUUID()
  const lost = defineJob({ name: "lost" })
  await app.declareQueue({ name: "nobody", tags: [] })
  const job = await app.push(lost, {}, { queue: "nobody" })
  await own.pool.query(
    `insert into millrace.workers (incarnation, id, hostname, pid, tags, expires_at)
     values ($1, 'lost', 'gone', 1, '{}', now() + interval '1 hour')`,
    [dead],
  )
  await own.pool.query("update millrace.jobs set state = 'running', token = $2, worker = $3 where id = $1", [
    job.id,
    randomUUID(),
    dead,
  ])
  expect(await job.cancel()).toBe("requested")
  await expire("lost")
  await using _worker = await own.worker(app)
  expect(await ended(app, job)).toMatchObject({ state: "cancelled" })
})

test("a lease shorter than two heartbeats is refused", () => {
  for (const options of [{ heartbeat: "10s", lease: "19s" }, { lease: "5s" }] as const) {
    expect(() => new Worker(app, options)).toThrow(expect.objectContaining({ code: "MILLRACE_BAD_OPTION" }))
  }
  expect(new Worker(app, { heartbeat: "10s", lease: "20s" }).state).toBe("new")
})
