import { defineJob, state } from "millrace"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const work = defineJob<number>({ name: "work", maxAttempts: 1 })

test("retryAll runs failed jobs again, refuses what runs, and names who holds a key", async () => {
  let failing = true
  const { app } = await startApp({
    handlers: [
      work.handler(async (number, job) => {
        if (number === 100) await new Promise((resolve) => job.signal.addEventListener("abort", resolve))
        else if (failing) throw new Error("not yet")
      }),
    ],
  })
  const plain = await app.pushMany(work, [1, 2, 3])
  const keyed = await app.push(work, 4, { uniqueKey: "k" })
  await app.wait([...plain, keyed], { timeout: "10s" })
  const running = await app.push(work, 100, { uniqueKey: "k" })
  await app.wait([running], { states: ["running"], timeout: "10s" })
  failing = false
  const progress: number[] = []
  const report = await app.retryAll({ name: "work" }, { chunk: 2, onProgress: ({ matched }) => progress.push(matched) })
  expect(report).toMatchObject({ matched: 5, changed: 3, refused: 2 })
  expect(progress).toEqual([2, 4, 5])
  expect(report.refusals).toEqual([
    expect.objectContaining({ id: running.id, code: "MILLRACE_JOB_RUNNING" }),
    { id: keyed.id, code: "MILLRACE_KEY_TAKEN", message: expect.stringContaining(running.id) },
  ])
  for (const job of await app.wait(plain, { timeout: "10s" })) expect(job).toMatchObject({ state: "succeeded" })
  expect(await keyed.get()).toMatchObject({ state: "failed" })
  await running.cancel()
})

test("cancelAll ends waiting jobs, fires the signals of running ones, and leaves finished ones", async () => {
  const { app } = await startApp({
    queues: [{ name: "other", tags: [] }],
    handlers: [
      work.handler(async (number, job) => {
        if (number < 10) await new Promise((resolve) => job.signal.addEventListener("abort", resolve))
      }),
    ],
  })
  const [running, done] = [await app.push(work, 1), await app.push(work, 50)]
  const waiting = await app.pushMany(work, [2, 3], { queue: "other" })
  await done.result({ timeout: "10s" })
  await app.wait([running], { states: ["running"], timeout: "10s" })
  const report = await app.cancelAll({ name: "work" }, { reason: "enough" })
  expect(report).toMatchObject({ matched: 4, changed: 3, requested: 1, refused: 1 })
  expect(report.refusals).toEqual([expect.objectContaining({ id: done.id, code: "MILLRACE_JOB_FINISHED" })])
  for (const job of await app.wait([running, ...waiting], { timeout: "10s" })) {
    expect(job).toMatchObject({ state: "cancelled", cancel: { reason: "enough" } })
  }
})

test("deleteAll takes finished and waiting jobs away, and leaves what runs", async () => {
  const { app } = await startApp({
    queues: [{ name: "other", tags: [] }],
    handlers: [
      work.handler(async (number, job) => {
        if (number === 1) await new Promise((resolve) => job.signal.addEventListener("abort", resolve))
      }),
    ],
  })
  const [running, done] = [await app.push(work, 1), await app.push(work, 2)]
  const waiting = await app.push(work, 3, { queue: "other" })
  await done.result({ timeout: "10s" })
  await app.wait([running], { states: ["running"], timeout: "10s" })
  expect(await app.deleteAll({ name: "work" })).toMatchObject({ matched: 3, changed: 2, refused: 1 })
  expect([await done.get(), await waiting.get()]).toEqual([undefined, undefined])
  await expect(running.delete()).rejects.toMatchObject({ code: "MILLRACE_JOB_RUNNING" })
  await running.cancel()
  await app.wait([running], { timeout: "10s" })
  await running.delete()
  await expect(running.delete()).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
})

test("updateAll changes what waits and refuses the rest; a dry run and a limit change nothing more", async () => {
  const { app } = await startApp({ worker: false })
  const jobs = await app.pushMany(work, [1, 2, 3])
  expect(await app.updateAll({}, { priority: 9 }, { dryRun: true })).toMatchObject({ matched: 3, changed: 0 })
  expect(await app.updateAll({}, { priority: 9 }, { limit: 2 })).toMatchObject({ matched: 2, changed: 2 })
  const priorities = await Promise.all(jobs.map(async (job) => (await job.get())!.priority))
  expect(priorities).toEqual([0, 9, 9])
  await jobs[0]!.cancel()
  expect(await app.updateAll(state.in(["cancelled"]), { priority: 1 })).toMatchObject({ changed: 0, refused: 1 })
})

test("a bulk action without a filter is refused; one that is told to stop stops between two chunks", async () => {
  const { app } = await startApp({ worker: false })
  await app.pushMany(work, [1, 2, 3])
  await expect(app.deleteAll(undefined as never)).rejects.toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  const stop = new AbortController()
  const stopped = app.deleteAll({}, { chunk: 1, signal: stop.signal, onProgress: () => stop.abort(new Error("stop")) })
  await expect(stopped).rejects.toThrow("stop")
  expect((await app.find()).jobs).toHaveLength(2)
})

test("workers and numbers of jobs are told as they are", async () => {
  const { app, worker } = await startApp({
    queues: [{ name: "idle", tags: [] }],
    handlers: [
      work.handler(async (number, job) => {
        if (number === 1) await new Promise((resolve) => job.signal.addEventListener("abort", resolve))
        if (number === 2) throw new Error("no")
      }),
    ],
  })
  const jobs = await app.pushMany(work, [1, 2, 3])
  await app.pushMany(work, [4, 5], { queue: "idle" })
  await app.push(work, 6, { runAt: "in 1h" })
  await until(
    async () => (await app.stats()).finished.succeeded?.count === 1 && (await jobs[1]!.get())?.state === "failed",
  )
  expect(await app.stats()).toEqual({
    queues: {
      default: { running: { count: 1, exact: true }, scheduled: { count: 1, exact: true } },
      idle: { pending: { count: 2, exact: true } },
    },
    oldestReadyMs: { idle: expect.any(Number) },
    finished: { succeeded: { count: 1, exact: true }, failed: { count: 1, exact: true } },
  })
  expect(await app.workers()).toEqual([
    expect.objectContaining({ id: worker.id, alive: true, running: 1, handlers: ["work"], queues: ["default"] }),
  ])
  await jobs[0]!.cancel()
})

test("more than ten thousand jobs are estimated, and said to be", async () => {
  const { app, sql } = await startApp({ worker: false, queues: [{ name: "default" }] })
  await app.pushMany(
    work,
    Array.from({ length: 10_001 }, (_, index) => index),
  )
  await sql("analyze $schema.jobs")
  const { queues } = await app.stats()
  expect(queues.default!.pending!.exact).toBe(false)
  expect(queues.default!.pending!.count).toBeGreaterThan(10_000)
})
