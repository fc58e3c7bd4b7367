// What every executor owes its jobs, whatever it is: run for the built-in ones and for the examples of one's own.
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import type { Millrace, QueueOptions, Reference } from "millrace"
import type { WorkerOptions } from "millrace/worker"
import { expect, onTestFinished, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

export interface Subject {
  readonly queue: Omit<QueueOptions, "name">
  readonly worker: WorkerOptions
  /** Pushes a job to the queue "work" that behaves so. `deaf` ones write a growing number into `file`. */
  push(app: Millrace, behaviour: "succeed" | "fail" | "obey" | "deaf", file: string): Promise<Reference>
  /** What it makes of a job that succeeds. */
  readonly result: unknown
  /** Whether it ends a handler that does not obey. */
  readonly hardStop: boolean
}

/** A file for a handler to write to, in a folder of its own. */
export function scratchFile(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-test-"))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  return path.join(folder, "file")
}

export const written = (file: string): string | undefined =>
  fs.existsSync(file) ? fs.readFileSync(file, "utf8") : undefined

export function conformance({ queue, worker: options, push, result, hardStop }: Subject): void {
  const start = (more: Partial<QueueOptions> = {}, worker: WorkerOptions = {}) =>
    startApp({ queues: [{ ...queue, ...more, name: "work" }], ...options, ...worker })

  test("a job runs once, and its result is kept", async () => {
    const { app, worker } = await start()
    const job = await push(app, "succeed", scratchFile())
    expect(await job.result({ timeout: "20s" })).toEqual(result)
    expect(await job.get()).toMatchObject({ state: "succeeded", attempts: 1, claims: 1, worker: worker.id })
  })

  test("many jobs run, each once", async () => {
    const { app } = await start()
    const jobs = await Promise.all(Array.from({ length: 10 }, () => push(app, "succeed", scratchFile())))
    for (const record of await app.wait(jobs, { timeout: "20s" }))
      expect(record).toMatchObject({ state: "succeeded", claims: 1 })
  })

  test("a job that fails is tried again, and fails for good with the errors of its attempts", async () => {
    const { app } = await start()
    const job = await push(app, "fail", scratchFile())
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({ state: "failed", attempts: record!.maxAttempts })
    expect(record!.errors.at(-1)!.message).toContain("told to fail")
  })

  test("cancelAll reaches a job that runs", async () => {
    const { app } = await start({}, { grace: "1m" })
    const file = scratchFile()
    const job = await push(app, "obey", file)
    await app.wait([job], { states: ["running"], timeout: "20s" })
    const report = await app.cancelAll({ queue: "work" }, { reason: "all of them" })
    expect(report).toMatchObject({ matched: 1, changed: 1, requested: 1 })
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({ state: "cancelled", cancel: { reason: "all of them" } })
  })

  test("cancelling a running job fires its signal at once, and ends it with the reason", async () => {
    const { app, worker } = await start({}, { grace: "1m", heartbeat: "1h", lease: "3h", queuePoll: "1h", sweep: "1h" })
    const file = scratchFile()
    const job = await push(app, "obey", file)
    await until(() => written(file) !== undefined)
    expect(await job.cancel("not wanted any more")).toBe("requested")
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({ state: "cancelled", cancel: { reason: "not wanted any more" } })
    expect(record!.errors.at(-1)?.message).toContain("not wanted any more")
    await until(() => worker.running === 0)
  })

  test("a cancelled job that does not obey is ended after the grace period", async () => {
    const { app, worker } = await start({}, { grace: "300ms" })
    const file = scratchFile()
    const job = await push(app, "deaf", file)
    await until(() => written(file) !== undefined)
    await job.cancel("enough")
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([{ state: "cancelled" }])
    if (!hardStop) return expect(worker.running).toBe(1)
    await until(() => worker.running === 0)
    const last = written(file)
    const next = await push(app, "succeed", scratchFile()) // takes its time, in which a deaf one would have ticked
    await next.result({ timeout: "20s" })
    expect(written(file)).toBe(last)
  })

  test("cancelling a finished job changes nothing", async () => {
    const { app } = await start()
    const job = await push(app, "succeed", scratchFile())
    await job.result({ timeout: "20s" })
    expect(await job.cancel("too late")).toBe("finished")
    expect(await job.get()).toMatchObject({ state: "succeeded", result })
  })

  test("the time limit of its queue ends a job", async () => {
    const { app } = await start({ timeout: "300ms" })
    const job = await push(app, "obey", scratchFile())
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({
      state: "failed",
      errors: expect.arrayContaining([expect.objectContaining({ code: "MILLRACE_TIMEOUT" })]),
    })
    expect(record!.errors[0]!.message).toContain("300 ms")
  })

  test("when its worker stops, a job's signal fires, and it is handed back uncharged", async () => {
    const { app, worker } = await start({}, { shutdownTimeout: "50ms", grace: "10s" })
    const file = scratchFile()
    const job = await push(app, "obey", file)
    await until(() => written(file) !== undefined)
    expect(await worker.stop()).toBe(true)
    expect(await job.get()).toMatchObject({ state: "pending", attempts: 0, crashes: 0 })
  })

  test("a worker stops although a job does not obey", async () => {
    const { app, worker } = await start({}, { shutdownTimeout: 0, grace: "50ms" })
    const file = scratchFile()
    const job = await push(app, "deaf", file)
    await until(() => written(file) !== undefined)
    expect(await worker.stop()).toBe(true)
    expect(await job.get()).toMatchObject({ state: "pending", attempts: 0 })
    if (!hardStop) return
    const last = written(file)
    await app.job(job.id).get()
    expect(written(file)).toBe(last)
  })
}
