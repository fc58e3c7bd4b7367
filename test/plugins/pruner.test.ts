import { defineJob, finishedAge, state } from "millrace"
import { leadership, pruner, recovery, type Plugin } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob<number>({ name: "work", maxAttempts: 1 })
const first = () => leadership({ lease: "900ms", every: "100ms" })

test("finished jobs that the rule means go, others and unfinished ones stay, and every plugin may clean up", async () => {
  let cleaned = 0
  const untidy: Plugin = { name: "untidy", cleanup: async () => ((cleaned += 1), 3) }
  const { app } = await startApp({
    queues: [{ name: "idle", tags: [] }],
    handlers: [
      work.handler((number) => {
        if (number === 0) throw new Error("no")
      }),
    ],
    plugins: [
      first(),
      untidy,
      pruner({ rule: finishedAge.gte("0ms").and(state.eq("succeeded")), every: "50ms", batch: 2 }),
    ],
  })
  const removed = app.hub.waitFor("pruner.removed", { timeout: "10s" })
  const failing = await app.push(work, 0)
  const waiting = await app.push(work, 9, { queue: "idle" })
  const done = await app.pushMany(work, [1, 2, 3, 4, 5])
  await app.wait([failing], { timeout: "10s" })
  await until(async () => (await Promise.all(done.map((job) => job.get()))).every((job) => job === undefined))
  expect((await failing.get())!.state).toBe("failed")
  expect((await waiting.get())!.state).toBe("pending")
  expect((await removed).body.cleaned).toBeGreaterThanOrEqual(3)
  expect(cleaned).toBeGreaterThan(0)
})

test("history whose retention is over is dropped by the leader, whole partitions at a time", async () => {
  const { app, sql, addWorker } = await startApp({ worker: false })
  await sql(`create table $schema.jobs_history_p20200101 partition of $schema.jobs_history
    for values from ('2020-01-01 00:00:00+00') to ('2020-01-02 00:00:00+00')`)
  const removed = app.hub.waitFor("pruner.removed", { timeout: "10s" })
  await addWorker({ plugins: [first()] })
  expect((await removed).body.partitions).toEqual(["jobs_history_p20200101"])
})

test("recovery tells the hub what it took back", async () => {
  const { app, sql, addWorker } = await startApp({ worker: false })
  const job = await app.push(work, 1)
  await sql(`with dead as (
      insert into $schema.workers (incarnation, id, hostname, pid, tags, expires_at)
      values (gen_random_uuid(), 'gone', 'h', 1, '{}', now() - interval '1 minute') returning incarnation)
    update $schema.jobs set state = 'running', token = gen_random_uuid(), worker = dead.incarnation, claims = 1 from dead`)
  const recovered = app.hub.waitFor("recovery.recovered", { timeout: "10s" })
  await addWorker({ plugins: [recovery({ every: "50ms" })], handlers: [work.handler(() => {})] })
  expect((await recovered).body).toEqual({ jobs: 1, failed: 0, workers: ["gone"] })
  await job.result({ timeout: "10s" })
  expect((await job.get())!.crashes).toBe(1)
})

test.each([
  [() => pruner({ poll_interval: 60 } as never), /every/],
  [() => pruner({ every: 15 }), /did you mean "15s"/],
  [() => pruner({ rule: {} } as never), /must be a rule/],
  [() => pruner({ batch: 0 }), /batch/],
  [() => recovery({ maxCrash: 2 } as never), /maxCrashes/],
])("bad options are refused where they are written: %#", (make, message) => {
  expect(make).toThrow(message)
})
