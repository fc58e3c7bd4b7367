import { defineJob } from "millrace"
import type { Attempt, Executor, Report } from "millrace/worker"
import { asyncExecutor } from "millrace/worker"
import { expect, test } from "vitest"
import { z } from "zod"
import { gate } from "../support/app.ts"
import { startApp, until } from "../support/start-app.ts"

const print = defineJob<unknown, unknown>({ name: "print", queue: "paper" })
const paper = { name: "paper", executor: "printer" }

const printer = (run: Executor["run"], more: Partial<Executor> = {}): Record<string, Executor> => ({
  printer: { needsHandler: false, run, ...more },
})

test("an executor of one's own runs the jobs of queues that name it, without any handler", async () => {
  const seen: unknown[] = []
  const { app, log } = await startApp({
    queues: [paper],
    executors: printer((attempt) => {
      seen.push([attempt.name, attempt.payload, attempt.payloadText, attempt.handler, attempt.definition])
      return { ok: true, value: "printed" }
    }),
  })
  const job = await app.push(print, { page: 1 })
  expect(await job.result()).toBe("printed")
  expect(await job.get()).toMatchObject({ state: "succeeded", attempts: 1 })
  expect(seen).toEqual([["print", { page: 1 }, expect.stringMatching(/^\{"page": ?1\}$/), undefined, undefined]])
  expect(log.lines.filter(({ message }) => /no worker has a handler/.test(message))).toEqual([])
})

test("an executor that needs handlers gets them, and the payload through the schema", async () => {
  const strict = defineJob({ name: "strict", queue: "paper", payload: z.object({ n: z.number().default(7) }) })
  const { app } = await startApp({
    queues: [paper],
    executors: printer((attempt) => attempt.handler!.run([attempt as never]) as never, { needsHandler: true }),
    handlers: [strict.handler(({ n }) => ({ ok: true, value: n }))],
  })
  expect(await (await app.push(strict, {})).result()).toBe(7)
  const parked = await app.push(print, 1)
  await app.wait([parked], { states: ["blocked"] })
})

test("a report that is not ok is an error of the attempt", async () => {
  const { app } = await startApp({
    queues: [paper],
    executors: printer(() => Promise.resolve({ ok: false, error: new Error("out of paper") })),
  })
  const job = await app.push(print, 1, { maxAttempts: 1 })
  await expect(job.result()).rejects.toMatchObject({ code: "MILLRACE_JOB_FAILED", cause: { message: "out of paper" } })
})

test.each([
  [
    "throws",
    () => {
      throw new Error("jammed")
    },
  ],
  ["rejects", () => Promise.reject(new Error("jammed"))],
])("an executor that %s has failed the attempt, and the worker goes on", async (_, run) => {
  const { app } = await startApp({ queues: [paper], executors: printer(run), handlers: [print.handler(() => "async")] })
  const jobs = await app.pushMany(print, [1, 2, 3], { maxAttempts: 1 })
  for (const record of await app.wait(jobs))
    expect(record).toMatchObject({ state: "failed", errors: [{ message: "jammed" }] })
  expect(await (await app.push(print, 1, { queue: "default" })).result()).toBe("async")
})

test("an executor that throws behind an asynchronous schema has failed the attempt as well", async () => {
  const slow = defineJob({
    name: "slow",
    queue: "paper",
    payload: z.number().refine(async () => Promise.resolve(true)),
  })
  const { app } = await startApp({
    queues: [paper],
    shutdownTimeout: 0,
    grace: 0,
    executors: printer(() => {
      throw new Error("jammed")
    }),
    handlers: [slow.handler(() => 1)],
  })
  const job = await app.push(slow, 1, { maxAttempts: 1 })
  await expect(job.result({ timeout: "5s" })).rejects.toMatchObject({ code: "MILLRACE_JOB_FAILED" })
})

test("an executor's default concurrency is one, its own, or the queue's", async () => {
  for (const [defaultConcurrency, concurrency, expected] of [
    [undefined, undefined, 1],
    [3, undefined, 3],
    [3, 2, 2],
  ]) {
    const gates: (() => void)[] = []
    let active = 0
    let most = 0
    const { app } = await startApp({
      queues: [{ ...paper, ...(concurrency && { concurrency }) }],
      executors: printer(
        async () => {
          const one = gate()
          gates.push(one.open)
          most = Math.max(most, (active += 1))
          await one.opened
          active -= 1
          return { ok: true, value: 1 }
        },
        defaultConcurrency ? { defaultConcurrency } : {},
      ),
    })
    const jobs = await app.pushMany(print, [1, 2, 3, 4, 5])
    await until(() => active === expected)
    await until(() => (gates.forEach((open) => open()), gates.length === 5))
    gates.forEach((open) => open())
    await app.wait(jobs)
    expect(most).toBe(expected)
  }
})

test("an executor hears of cancels and time limits by the attempt's signal", async () => {
  const started = gate()
  const until_ = (attempt: Attempt): Promise<Report> =>
    new Promise((resolve) => {
      attempt.signal.addEventListener("abort", () => resolve({ ok: false, error: attempt.signal.reason }))
      started.open()
    })
  const { app } = await startApp({ queues: [paper], executors: printer(until_) })
  const job = await app.push(print, 1)
  await started.opened
  await job.cancel()
  expect(await app.wait([job])).toMatchObject([{ state: "cancelled" }])
  const limited = await app.push(print, 1, { timeout: 5, maxAttempts: 1 })
  expect(await app.wait([limited])).toMatchObject([{ state: "failed", errors: [{ code: "MILLRACE_TIMEOUT" }] }])
})

test("an executor without runBatch runs a batch one by one", async () => {
  const ran: unknown[] = []
  const { app, addWorker } = await startApp({ worker: false, queues: [{ ...paper, concurrency: 5 }] })
  const jobs = await app.pushMany(print, [1, 2, 3], { maxAttempts: 1 })
  await addWorker({
    executors: printer((attempt) => {
      ran.push(attempt.payload)
      if (attempt.payload === 2) throw new Error("jammed")
      return { ok: true, value: attempt.payload }
    }),
    handlers: [print.batch({ size: 10 }, () => {})],
  })
  expect((await app.wait(jobs)).map((record) => [record.state, record.result])).toEqual([
    ["succeeded", 1],
    ["failed", undefined],
    ["succeeded", 3],
  ])
  expect(ran).toEqual([1, 2, 3])
})

test("a worker that lacks a queue's executor leaves the queue to others, and reports it once", async () => {
  const { app, worker, addWorker, log } = await startApp({ queues: [paper], handlers: [print.handler(() => 1)] })
  expect(worker.queues).toEqual(["default"])
  const job = await app.push(print, 1)
  await app.declareQueue("another")
  await until(() => worker.queues.includes("another"))
  expect(log.lines.filter(({ fields }) => fields?.code === "MILLRACE_NO_EXECUTOR")).toMatchObject([
    {
      level: "warn",
      message: expect.stringMatching(/"paper".*"printer"/),
      fields: { known: ["async", "thread", "process"] },
    },
  ])
  expect(await job.get()).toMatchObject({ state: "pending", claims: 0 })
  const able = await addWorker({ executors: printer(() => ({ ok: true, value: "printed" })) })
  expect(await job.result()).toBe("printed")
  expect(await job.get()).toMatchObject({ worker: able.id })
})

test("a queue whose executor changes finishes what runs with the old one, and starts with the new", async () => {
  const started = gate()
  const go = gate()
  const { app, worker } = await startApp({
    queues: [paper],
    executors: {
      ...printer(async () => (started.open(), await go.opened, { ok: true, value: "old" })),
      plotter: { needsHandler: false, run: () => ({ ok: true, value: "new" }) },
    },
  })
  const first = await app.push(print, 1)
  await started.opened
  const second = await app.push(print, 2)
  await app.declareQueue({ ...paper, executor: "plotter" }, { upsert: true })
  expect(await second.result()).toBe("new")
  expect(await first.get()).toMatchObject({ state: "running" })
  go.open()
  expect(await first.result()).toBe("old")
  expect(worker.queues).toContain("paper")
})

test("an executor may take the place of the built-in one", async () => {
  const { app } = await startApp({
    executors: { async: { ...asyncExecutor(), run: () => ({ ok: true, value: "replaced" }) } },
    handlers: [print.handler(() => "never")],
  })
  expect(await (await app.push(print, 1)).result()).toBe("replaced")
})
