// What executors that run handlers owe them: the same job context everywhere.
import type { QueueOptions } from "millrace"
import type { WorkerOptions } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"
import * as jobs from "./jobs.ts"

export const handlers = new URL("./handlers.ts", import.meta.url)

export interface Place {
  readonly queue: Omit<QueueOptions, "name">
  readonly worker?: WorkerOptions
}

export function handling({ queue, worker = {} }: Place): void {
  const start = (more: Partial<QueueOptions> = {}, options: WorkerOptions = {}) =>
    startApp({ queues: [{ ...queue, ...more, name: "work" }], handlers, ...worker, ...options })

  test("payloads and results are the JSON that is stored, whatever they hold", async () => {
    const { app } = await start()
    for (const value of [null, 0, "", "ü\u2028💧", [1, [2]], { a: { b: false } }, 2 ** 53])
      expect(await (await app.push(jobs.echo, value)).result({ timeout: "20s" })).toEqual(value)
    expect(await (await app.push(jobs.echo, undefined)).result({ timeout: "20s" })).toBe(null)
  })

  test("a handler gets what the payload's schema makes of it, and its result goes through the result's schema once", async () => {
    const { app } = await start()
    expect(await (await app.push(jobs.dated, { at: "2026-05-06" })).result({ timeout: "20s" })).toEqual({
      year: "2026",
    })
  })

  test("a payload that its schema refuses fails for good at its first attempt", async () => {
    const { app, sql } = await start({ tags: [] })
    const job = await app.push(jobs.dated, { at: "2026-05-06" })
    await sql("update $schema.jobs set payload = '{}'")
    await app.declareQueue({ ...queue, name: "work" }, { upsert: true })
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      { state: "failed", attempts: 1, errors: [{ code: "MILLRACE_BAD_PAYLOAD" }] },
    ])
  })

  test("a handler sees all there is to know about its job", async () => {
    const { app } = await start()
    const job = await app.push(jobs.facts, undefined, { meta: { k: [1] }, tags: ["a", "b"], maxAttempts: 7 })
    const seen = await job.result({ timeout: "20s" })
    expect(seen).toEqual({
      id: job.id,
      name: "facts",
      queue: "work",
      attempt: 1,
      maxAttempts: 7,
      crashes: 0,
      claims: 1,
      tags: ["a", "b"],
      meta: { k: [1] },
      remaining: expect.any(Number),
      aborted: false,
    })
    expect(seen.remaining).toBeGreaterThan(0)
    expect(seen.remaining).toBeLessThanOrEqual(60_000)
  })

  test("progress and log lines arrive while the job runs", async () => {
    const { app } = await start()
    const job = await app.push(jobs.telling)
    await until(async () => (await job.get())?.progress !== undefined)
    expect(await job.get()).toMatchObject({ state: "running", progress: { half: 0.5 } })
    await until(async () => (await job.logs()).length === 2)
    expect(await job.logs()).toMatchObject([
      { n: 1, attempt: 1, level: "info", message: "on my way", fields: { step: 1 } },
      { n: 2, attempt: 1, level: "warn", message: "slowly", fields: {} },
    ])
    await job.cancel()
  })

  test("what a handler does to its meta is saved with each attempt, and the next one sees it", async () => {
    const { app } = await start()
    const job = await app.push(jobs.noting, { fail: true }, { meta: { old: 1, kept: 2 } })
    expect(await job.result({ timeout: "20s" })).toBe('{"kept":2,"attempts":[1,2]}')
    expect((await job.get())!.meta).toEqual({ kept: 2, attempts: [1, 2] })
  })

  test("onError is asked about the error as it was thrown, by its class", async () => {
    const { app } = await start()
    const job = await app.push(jobs.throwing, { how: "class" })
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      {
        state: "failed",
        attempts: 1,
        errors: [{ message: "no such thing", stack: expect.stringContaining("handlers") }],
      },
    ])
  })

  test("an error keeps its name, code, stack and cause", async () => {
    const { app } = await start()
    const job = await app.push(jobs.throwing, { how: "rich" })
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      {
        state: "failed",
        attempts: 2,
        errors: [1, 2].map((attempt) => ({
          attempt,
          name: "TypeError",
          message: "rich",
          code: "E_RICH",
          stack: expect.stringMatching(/TypeError: rich[\s\S]*caused by Error: beneath/),
        })),
      },
    ])
  })

  test("something thrown that is no error is described", async () => {
    const { app } = await start()
    const job = await app.push(jobs.throwing, { how: "text" }, { maxAttempts: 1 })
    expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
      { state: "failed", errors: [{ message: expect.stringContaining("only text") }] },
    ])
  })

  test("directives are obeyed, returned or thrown", async () => {
    const { app } = await start()
    const [snoozed, cancelled, discarded, retried] = await Promise.all(
      (["snooze", "cancel", "discard", "retry"] as const).map((how) =>
        app.push(jobs.telldirective, { how }, { backoff: { initial: 0 } }),
      ),
    )
    expect(await app.wait([snoozed!, cancelled!, discarded!, retried!], { timeout: "20s" })).toMatchObject([
      { state: "succeeded", result: "awake", attempts: 1, meta: { slept: true } },
      { state: "cancelled", errors: [{ message: "not today" }] },
      { state: "failed", attempts: 1, errors: [{ message: "never" }] },
      { state: "succeeded", result: "second", attempts: 2, errors: [{ message: "again" }] },
    ])
  })

  test("a job pushed by a handler exists only if the handler's job succeeds", async () => {
    const { app } = await start()
    const good = await app.push(jobs.pushing, { fail: false })
    const id = await good.result({ timeout: "20s" })
    expect(await app.job(id).get()).toMatchObject({ name: "pushed", payload: { n: 1 }, priority: 3 })
    const bad = await app.push(jobs.pushing, { fail: true })
    expect(await app.wait([bad], { timeout: "20s" })).toMatchObject([{ state: "failed" }])
    const refused = await app.push(jobs.pushing, { fail: false, bad: true })
    expect(await app.wait([refused], { timeout: "20s" })).toMatchObject([
      { state: "failed", errors: [{ code: "MILLRACE_BAD_PAYLOAD" }] },
    ])
  })

  test("what a handler pushes by the app exists at once", async () => {
    const { app } = await start()
    const id = await (await app.push(jobs.appPush)).result({ timeout: "20s" })
    expect(await app.job(id).get()).toMatchObject({ name: "pushed", payload: { n: 2 } })
  })

  test("a handler's own writes and its completion are committed together, with dates and binary data whole", async () => {
    const { app, schema, sql } = await start()
    await sql("create table $schema.bookings (at timestamptz, attempt int, raw bytea)")
    const job = await app.push(jobs.booking, { table: `${schema}.bookings`, how: "commit" })
    expect(await job.result({ timeout: "20s" })).toEqual({ count: 1, same: true, raw: 2 })
    expect(await sql("select attempt from $schema.bookings")).toEqual([{ attempt: 1 }])
  })

  test("a transaction that throws is rolled back, and the next attempt's is the only one", async () => {
    const { app, schema, sql } = await start()
    await sql("create table $schema.bookings (at timestamptz, attempt int, raw bytea)")
    const job = await app.push(jobs.booking, { table: `${schema}.bookings`, how: "throw" })
    await job.result({ timeout: "20s" })
    expect(await sql("select attempt from $schema.bookings")).toEqual([{ attempt: 2 }])
    expect(await job.get()).toMatchObject({ attempts: 2, errors: [{ message: "not yet" }] })
  })

  test("a directive returned inside a transaction is obeyed after its rollback", async () => {
    const { app, schema, sql } = await start()
    await sql("create table $schema.bookings (at timestamptz, attempt int, raw bytea)")
    const job = await app.push(jobs.booking, { table: `${schema}.bookings`, how: "snooze" })
    await app.wait([job], { states: ["scheduled"], timeout: "20s" })
    expect(await sql("select * from $schema.bookings")).toEqual([])
  })

  test("a transaction that the handler did not wait for is the completion, or changes nothing", async () => {
    const { app, schema, sql } = await start()
    await sql("create table $schema.bookings (at timestamptz, attempt int, raw bytea)")
    const job = await app.push(jobs.booking, { table: `${schema}.bookings`, how: "loose" })
    const result = await job.result({ timeout: "20s" })
    expect(await sql("select attempt from $schema.bookings")).toEqual(result === "did not wait" ? [] : [{ attempt: 1 }])
  })

  test("a batch handler gets several jobs in one call, and answers for each", async () => {
    const { app, addWorker } = await startApp({ worker: false, queues: [{ ...queue, name: "work", concurrency: 5 }] })
    const pushed = await app.pushMany(jobs.many, [1, -2, 3])
    await addWorker({ handlers, ...worker })
    expect(
      (await app.wait(pushed, { timeout: "20s" })).map(({ state, result, errors }) => [
        state,
        result,
        errors[0]?.message,
      ]),
    ).toEqual([
      ["succeeded", 2, undefined],
      ["failed", undefined, "negative among 3"],
      ["succeeded", 6, undefined],
    ])
  })

  test("currentJob() is the job, behind everything that its handler awaits", async () => {
    const { app } = await start()
    expect(await (await app.push(jobs.current)).result({ timeout: "20s" })).toEqual({ same: true, name: "current" })
  })
}
