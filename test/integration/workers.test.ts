import { defineJob } from "millrace"
import { Worker } from "millrace/worker"
import os from "node:os"
import { expect, test } from "vitest"
import { gate } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })
const where = task.handler((_, job) => job.queue)

/** A worker that died: its row, expired, and its claim of a job. */
async function dies(
  { sql }: Pick<Awaited<ReturnType<typeof startApp>>, "sql">,
  jobId: string,
  worker = "dead",
): Promise<void> {
  const [row] = await sql<{ incarnation: string }>(
    `insert into $schema.workers (incarnation, id, hostname, pid, tags, expires_at)
     values (gen_random_uuid(), $1, 'far', 1, '{*}', now() - interval '1 second') returning incarnation`,
    [worker],
  )
  await sql(
    `update $schema.jobs set state = 'running', token = gen_random_uuid(), worker = $2, claims = claims + 1, started_at = now() where id = $1`,
    [jobId, row!.incarnation],
  )
}

test("a worker tells how many jobs and which queues it runs", async () => {
  const go = gate()
  const { app, worker } = await startApp({ queues: [{ name: "more" }], handlers: [task.handler(() => go.opened)] })
  expect(worker.running).toBe(0)
  expect([...worker.queues].sort()).toEqual(["default", "more"])
  const jobs = [...(await app.pushMany(task, [1, 2])), await app.push(task, 3, { queue: "more" })]
  await until(() => worker.running === 3)
  go.open()
  await app.wait(jobs)
  await until(() => worker.running === 0)
})

test("one process may hold several workers of one app", async () => {
  const { app, addWorker, worker } = await startApp({ handlers: [task.handler(() => 1)] })
  const others = await Promise.all([addWorker(), addWorker({ handlers: [task.handler(() => 1)] })])
  expect(new Set([worker, ...others].map(({ id }) => id)).size).toBe(3)
  await app.wait(await app.pushMany(task, Array.from({ length: 50 })))
})

test("the world can see which queues a worker runs, and which handlers and tags it has", async () => {
  const { app, worker, sql } = await startApp({ tags: ["x=y"], handlers: [where] })
  await app.declareQueue("more")
  await until(() => worker.queues.includes("more"))
  await until(async () =>
    (await sql<{ queues: string[] }>("select queues from $schema.workers"))[0]!.queues.includes("more"),
  )
  const [row] = await sql("select id, hostname, pid, tags, handlers from $schema.workers")
  expect(row).toEqual({
    id: worker.id,
    hostname: os.hostname(),
    pid: process.pid,
    tags: worker.tags,
    handlers: ["task"],
  })
})

test("a dead worker's job whose retention no partition covers yet is taken back, and fails, as any other", async () => {
  const started = await startApp({ worker: false })
  const { app, addWorker } = started
  const job = await app.push(task, 1, { retention: "200d" })
  const other = await app.push(task, 2)
  await dies(started, job.id, "dead-1")
  await dies(started, other.id, "dead-2")
  await addWorker({ maxCrashes: 1 })
  expect((await app.wait([job, other])).map((record) => record.state)).toEqual(["failed", "failed"])
})

test("progress of a claim that is not valid any more changes nothing, and the handler's signal fires", async () => {
  const started = gate()
  const fired = gate<unknown>()
  const { app, sql } = await startApp({
    heartbeat: "15s",
    lease: "60s",
    sweep: "1h",
    handlers: [
      task.handler(async (_, job) => {
        started.open()
        const timer = setInterval(() => job.progress(1), 20)
        await new Promise((resolve) => job.signal.addEventListener("abort", resolve))
        clearInterval(timer)
        fired.open(job.signal.reason)
      }),
    ],
  })
  const job = await app.push(task, 1)
  await started.opened
  await sql("update $schema.jobs set token = gen_random_uuid()")
  expect(await fired.opened).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
  expect(await job.get()).toMatchObject({ state: "running" })
})

test("options of a worker that are wrong are refused, with a hint", async () => {
  const { app } = await startApp({ worker: false })
  const refused = (options: object) => {
    try {
      void new Worker(app, options)
    } catch (error) {
      return error as { code: string; message: string }
    }
    throw new Error(`accepted ${JSON.stringify(options)}`)
  }
  expect(refused({ heartbeat: "5s", lease: "9s" })).toMatchObject({
    code: "MILLRACE_BAD_OPTION",
    message: expect.stringMatching(/two heartbeats/),
  })
  expect(refused({ lease: 10 })).toMatchObject({ code: "MILLRACE_BAD_DURATION" })
  expect(refused({ heartbeat: "soon" })).toMatchObject({
    code: "MILLRACE_BAD_DURATION",
    message: expect.stringMatching(/Worker\.heartbeat/),
  })
  expect(refused({ handler: [] })).toMatchObject({
    code: "MILLRACE_UNKNOWN_OPTION",
    message: expect.stringContaining("handlers"),
  })
  expect(refused({ concurrency: 5 })).toMatchObject({ message: expect.stringMatching(/declareQueue/) })
  expect(refused({ queues: [] })).toMatchObject({ message: expect.stringMatching(/new Millrace\(\{ queues \}\)/) })
  expect(refused({ worker_id: "x" })).toMatchObject({ message: expect.stringContaining('"id"') })
  expect(refused({ handlers: [() => 1] })).toMatchObject({
    code: "MILLRACE_BAD_OPTION",
    message: expect.stringMatching(/definition\.handler/),
  })
  expect(refused({ handlers: "all" })).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(refused({ plugins: ["x"] })).toMatchObject({ code: "MILLRACE_BAD_PLUGIN" })
  expect(refused({ executors: 5 })).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(refused({ maxCrashes: 0 })).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(refused({ tags: [""] })).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(refused({ signals: "yes" })).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(refused({ id: "a b" })).toMatchObject({ code: "MILLRACE_BAD_NAME" })
})
