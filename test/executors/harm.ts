// What a job may do to its thread or process without harm to anybody else.
import fs from "node:fs"
import type { QueueOptions } from "millrace"
import type { ExecutorEntry } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"
import { scratchFile, written } from "./conformance.ts"
import { handlers } from "./handling.ts"
import * as jobs from "./jobs.ts"

export interface Harmed {
  readonly queue: Omit<QueueOptions, "name">
  /** Ways to end that this one survives, with what is told. */
  readonly crashes: Readonly<Record<string, RegExp>>
  /** With the init module of the tests. */
  readonly withInit: ExecutorEntry
}

export function harm({ queue, crashes, withInit }: Harmed): void {
  const start = (more: Partial<QueueOptions> = {}) =>
    startApp({ queues: [{ ...queue, ...more, name: "work" }], handlers, grace: "200ms" })

  test.each(Object.entries(crashes))(
    "a job that ends what it runs in (%s) has failed, says how, and harms no neighbour",
    async (how, told) => {
      const { app, worker } = await start({ concurrency: 2 })
      const file = scratchFile()
      const neighbour = await app.push(jobs.behave, { do: "obey", file })
      await until(() => written(file) !== undefined)
      const job = await app.push(jobs.crashing, { how })
      const [record] = await app.wait([job], { timeout: "20s" })
      expect(record).toMatchObject({ state: "failed", crashes: 0, errors: [{ code: "MILLRACE_EXECUTOR_LOST" }] })
      expect(record!.errors[0]!.message).toMatch(told)
      expect(await neighbour.get()).toMatchObject({ state: "running", claims: 1 })
      expect(await (await app.push(jobs.echo, "after")).result({ timeout: "20s" })).toBe("after")
      expect(worker.state).toBe("running")
      await neighbour.cancel()
    },
  )

  test("a job that never gives its event loop back is ended by its time limit, after the grace period", async () => {
    const { app, worker } = await start({ concurrency: 2 })
    const job = await app.push(jobs.crashing, { how: "loop" }, { timeout: "100ms" })
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_TIMEOUT" }] })
    await until(() => worker.running === 0)
    expect(await (await app.push(jobs.echo, 1)).result({ timeout: "20s" })).toBe(1)
  })

  test("a job that never gives its event loop back is ended by a cancel, after the grace period", async () => {
    const { app, worker } = await start()
    const file = scratchFile()
    const job = await app.push(jobs.crashing, { how: "loop", file })
    await until(() => written(file))
    await job.cancel("spins")
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([{ state: "cancelled" }])
    await until(() => worker.running === 0)
  })

  test("a job over its queue's memory limit has failed, says so, and harms no neighbour", async () => {
    const { app } = await start({ concurrency: 2, memoryLimit: "160mb" })
    const file = scratchFile()
    const neighbour = await app.push(jobs.behave, { do: "obey", file })
    await until(() => written(file) !== undefined)
    const job = await app.push(jobs.crashing, { how: "heap" })
    const [record] = await app.wait([job], { timeout: "25s" })
    expect(record).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_MEMORY_LIMIT" }] })
    expect(record!.errors[0]!.message).toContain("160 MB")
    expect(await neighbour.get()).toMatchObject({ state: "running", claims: 1 })
    await neighbour.cancel()
  })

  test("a transaction whose handler is ended in the middle of it is rolled back", async () => {
    const { app, schema, sql } = await start()
    await sql("create table $schema.bookings (at timestamptz, attempt int, raw bytea)")
    const file = scratchFile()
    const payload = { table: `${schema}.bookings`, how: "hang" } as const
    const job = await app.push(jobs.booking, payload, { meta: { file }, maxAttempts: 1 })
    await until(() => written(file) !== undefined)
    await job.cancel()
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([{ state: "cancelled" }])
    expect(await sql("select * from $schema.bookings")).toEqual([])
  })

  test("two jobs compute at the same time", async () => {
    const { app } = await start({ concurrency: 2 })
    const [one, other] = [scratchFile(), scratchFile()]
    const meeting = [
      await app.push(jobs.crashing, { how: `meet ${other}`, file: one }),
      await app.push(jobs.crashing, { how: `meet ${one}`, file: other }),
    ]
    for (const job of meeting) expect(await job.result({ timeout: "20s" })).toBe("met")
  })

  test("one is ready before its queue is claimed from, and the next ones start when they are needed", async () => {
    const file = scratchFile()
    process.env.MILLRACE_TEST_FILE = file
    onTestFinished(() => void delete process.env.MILLRACE_TEST_FILE)
    const { app } = await startApp({
      queues: [{ ...queue, name: "work", concurrency: 2 }],
      handlers,
      executors: { [queue.executor!]: withInit },
    })
    const started = () => written(file)!.split("\n").length - 1
    expect(started()).toBe(1)
    for (let n = 0; n < 3; n++) await (await app.push(jobs.echo, n)).result({ timeout: "20s" })
    expect(started()).toBe(1)
    const obeying = scratchFile()
    const busy = await app.push(jobs.behave, { do: "obey", file: obeying })
    await until(() => written(obeying) !== undefined)
    await (await app.push(jobs.echo, 1)).result({ timeout: "20s" })
    expect(started()).toBe(2)
    await busy.cancel()
  })

  test("each job has its thread or process to itself, and uses it again after its end", async () => {
    const { app } = await start({ concurrency: 1 })
    const places = await app.pushMany(
      jobs.crashing,
      Array.from({ length: 5 }, () => ({ how: "where" })),
    )
    const seen = await Promise.all(places.map((job) => job.result({ timeout: "20s" })))
    expect(new Set(seen).size).toBe(1)
    expect(seen[0]).not.toBe(`${process.pid} 0`)
  })

  test("after maxJobs jobs a thread or process is replaced", async () => {
    const { app } = await start({ concurrency: 1, executorOptions: { maxJobs: 2 } })
    const seen: string[] = []
    for (let count = 0; count < 6; count++)
      seen.push(await (await app.push(jobs.crashing, { how: "where" })).result({ timeout: "20s" }))
    expect(new Set(seen).size).toBe(3)
    expect(seen[0]).toBe(seen[1])
    expect(seen[1]).not.toBe(seen[2])
  })

  test("changed options hold for what starts next; what runs finishes where it is", async () => {
    const { app } = await start({ concurrency: 2 })
    const file = scratchFile()
    const old = await app.push(jobs.behave, { do: "obey", file })
    await until(() => written(file) !== undefined)
    const before = await (await app.push(jobs.crashing, { how: "where" })).result({ timeout: "20s" })
    await app.declareQueue(
      { ...queue, name: "work", concurrency: 2, executorOptions: { maxJobs: 5 } },
      { upsert: true },
    )
    await until(
      async () => (await (await app.push(jobs.crashing, { how: "where" })).result({ timeout: "20s" })) !== before,
    )
    expect(await old.get()).toMatchObject({ state: "running", claims: 1 })
    await old.cancel()
    expect(await app.wait([old], { timeout: "20s" })).toMatchObject([{ state: "cancelled" }])
  })

  test("a handler that was written in the worker's program is refused, with what to do", async () => {
    const inline = jobs.echo.handler((payload) => payload)
    const refused = startApp({ queues: [{ ...queue, name: "work" }], handlers: inline })
    await expect(refused).rejects.toMatchObject({
      code: "MILLRACE_INLINE_HANDLER",
      message: expect.stringMatching(/"echo".*"work"[\s\S]*new URL/),
    })
  })

  test("a job of an inline handler that was pushed to such a queue fails for good, with what to do", async () => {
    const { app } = await startApp({
      queues: [{ ...queue, name: "other" }],
      handlers: jobs.echo.handler((payload) => payload),
    })
    const job = await app.push(jobs.echo, 1, { queue: "other", maxAttempts: 9 })
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      { state: "failed", attempts: 1, errors: [{ code: "MILLRACE_INLINE_HANDLER" }] },
    ])
  })

  test("nothing of it is left when the worker has stopped", async () => {
    const { app, worker } = await start({ concurrency: 2 })
    const file = scratchFile()
    await app.push(jobs.crashing, { how: "loop", file })
    await until(() => written(file))
    const pid = Number(written(file)!.split(" ")[0])
    await worker.forceStop()
    if (pid !== process.pid) await until(() => !fs.existsSync(`/proc/${pid}`))
    expect(worker.running).toBe(0)
  })
}
