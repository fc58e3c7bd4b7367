import { defineJob } from "millrace"
import type { Executor, ExecutorQueue } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

const wait = defineJob({ name: "wait", queue: "work", maxAttempts: 1 })
const obeying = wait.handler(
  (_, job) => new Promise((_resolve, reject) => job.signal.addEventListener("abort", () => reject(job.signal.reason))),
)

test.each([
  ["job", { timeout: "50ms" }, "1m", "50 ms"],
  ["queue", { timeout: "1h" }, "60ms", "60 ms"],
  ["queue", {}, "70ms", "70 ms"],
])("the shorter time limit binds: that of the %s", async (_, job, timeout, told) => {
  const { app } = await startApp({ queues: [{ name: "work", timeout }], handlers: obeying })
  const [record] = await app.wait([await app.push(wait, undefined, job)], { timeout: "20s" })
  expect(record).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_TIMEOUT" }] })
  expect(record!.errors[0]!.message).toContain(told)
})

test("the limits of a queue are stored, read back, and changed while it runs", async () => {
  const { app } = await startApp({ queues: [{ name: "work", timeout: "1h" }], handlers: obeying })
  expect(await app.queue("work")).toMatchObject({ timeout: 3_600_000, memoryLimit: undefined })
  const long = await app.push(wait)
  await app.wait([long], { states: ["running"] })
  await app.declareQueue({ name: "work", timeout: "40ms" }, { upsert: true })
  await until(async () => (await app.queue("work"))?.timeout === 40)
  await until(async () => {
    const [record] = await app.wait([await app.push(wait)], { timeout: "20s", states: ["failed", "running"] })
    return record!.state === "failed"
  })
  expect(await long.get()).toMatchObject({ state: "running" })
  const sized = await app.declareQueue({ name: "sized", executor: "process", memoryLimit: "1.5gb" })
  expect(sized.memoryLimit).toBe(1.5 * 1024 ** 3)
})

test.each([
  [{ executor: "async", memoryLimit: "1gb" }, "MILLRACE_LIMIT_REFUSED", /memory limit.*"async".*"process"/],
  [
    { executor: "command", memoryLimit: 1, executorOptions: { program: "x" } },
    "MILLRACE_LIMIT_REFUSED",
    /"command" cannot honour/,
  ],
  [{ executor: "process", memoryLimit: "much" }, "MILLRACE_BAD_OPTION", /memoryLimit.*"512mb"/],
  [
    { executor: "process", executorOptions: { maxjobs: 1 } },
    "MILLRACE_UNKNOWN_OPTION",
    /"work".*executorOptions.*Did you mean "maxJobs"/,
  ],
  [
    { executor: "process", executorOptions: { maximum_jobs_per_worker: 1 } },
    "MILLRACE_UNKNOWN_OPTION",
    /called "maxJobs" here/,
  ],
  [
    { executor: "thread", executorOptions: { memoryLimit: 1 } },
    "MILLRACE_UNKNOWN_OPTION",
    /belongs to the queue itself/,
  ],
  [{ executor: "async", executorOptions: { a: 1 } }, "MILLRACE_UNKNOWN_OPTION", /there is no option "a"/],
  [{ executor: "command" }, "MILLRACE_BAD_OPTION", /program: is required/],
  [
    { executor: "command", executorOptions: { program: "x", env: { A: 1 } } },
    "MILLRACE_BAD_OPTION",
    /env: must be an object of texts/,
  ],
])("an app refuses a queue whose executor cannot do what it asks: %j", async (queue, code, message) => {
  const { app } = await startApp({ worker: false })
  await expect(app.declareQueue({ name: "work", ...queue })).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  })
})

const printer: Executor = { needsHandler: false, run: () => ({ ok: true, value: "printed" }) }

test("a worker refuses to start with a queue of its app that asks its executor for too much", async () => {
  for (const [more, code] of [
    [{ memoryLimit: "1gb" }, "MILLRACE_LIMIT_REFUSED"],
    [{ executorOptions: { speed: 1 } }, "MILLRACE_UNKNOWN_OPTION"],
  ] as const) {
    const queues = [{ name: "paper", executor: "printer", ...more }]
    await expect(startApp({ queues, executors: { printer } })).rejects.toMatchObject({ code })
  }
})

test("a queue that was declared elsewhere and asks for too much is not run, and that is told once", async () => {
  const { app, worker, log } = await startApp({ executors: { printer } })
  const job = await app.push(wait, undefined, { queue: "paper" })
  await app.declareQueue({ name: "paper", executor: "printer", memoryLimit: "1gb" })
  await app.declareQueue("another")
  await until(() => worker.queues.includes("another"))
  expect(worker.queues).not.toContain("paper")
  expect(log.lines.filter(({ fields }) => fields?.code === "MILLRACE_LIMIT_REFUSED")).toMatchObject([
    { level: "error", message: expect.stringMatching(/"paper" is not run here.*memory limit/) },
  ])
  expect(await job.get()).toMatchObject({ state: "pending", claims: 0 })
  await app.declareQueue({ name: "paper", executor: "printer" }, { upsert: true })
  expect(await job.result({ timeout: "20s" })).toBe("printed")
})

test("an executor without time limits refuses them, of queues and of jobs", async () => {
  const timeless: Executor = { ...printer, limits: [] }
  const queue = { name: "paper", executor: "timeless" }
  await expect(startApp({ queues: [{ ...queue, timeout: "1s" }], executors: { timeless } })).rejects.toMatchObject({
    code: "MILLRACE_LIMIT_REFUSED",
    message: expect.stringMatching(/time limit/),
  })
  const { app } = await startApp({ queues: [queue], executors: { timeless } })
  const job = await app.push(wait, undefined, { queue: "paper", timeout: "1m", maxAttempts: 5 })
  expect(await app.wait([job], { timeout: "20s" })).toMatchObject([
    { state: "failed", attempts: 1, errors: [{ code: "MILLRACE_LIMIT_REFUSED" }] },
  ])
})

test("an executor that is a function is made for each queue, anew when its options change, and closed", async () => {
  const seen: unknown[] = []
  const made = (queue: ExecutorQueue): Executor => {
    if (queue.options.speed === "wrong") throw new Error("no such speed")
    return {
      ...printer,
      start: async () => void seen.push(["start", queue.name, queue.options, queue.concurrency]),
      close: async () => void seen.push(["close", queue.name, queue.options]),
    }
  }
  const { app, worker, log } = await startApp({ executors: { made } })
  const queue = { name: "paper", executor: "made", concurrency: 3, executorOptions: { speed: 1 } }
  await app.declareQueue(queue)
  await until(() => worker.queues.includes("paper"))
  expect(seen).toEqual([["start", "paper", { speed: 1 }, 3]])
  await app.declareQueue({ ...queue, executorOptions: { speed: 2 } }, { upsert: true })
  await until(() => seen.length === 3)
  expect(seen.slice(1)).toEqual(
    expect.arrayContaining([
      ["start", "paper", { speed: 2 }, 3],
      ["close", "paper", { speed: 1 }],
    ]),
  )
  await app.declareQueue({ ...queue, executorOptions: { speed: "wrong" } }, { upsert: true })
  await until(() => log.lines.some(({ message }) => message.includes("no such speed")))
  await until(() => seen.length === 4)
  await worker.stop()
  expect(seen.filter((entry) => (entry as string[])[0] === "close")).toHaveLength(2)
})

test("what is no executor is refused when the worker is made", async () => {
  const { app, addWorker } = await startApp({ worker: false })
  await expect(addWorker({ executors: { printer: {} as never } })).rejects.toMatchObject({
    code: "MILLRACE_BAD_OPTION",
    message: expect.stringMatching(/"printer" must be an executor/),
  })
  await app.close()
})

test("a module of handlers that is not there, or exports none, ends the start, and says why", async () => {
  const { addWorker } = await startApp({ worker: false })
  for (const [file, message] of [
    ["./no-such-module.ts", /no-such-module/],
    ["./init.ts", /exports no handler/],
  ] as const) {
    const handlers = new URL(file, import.meta.url)
    await expect(addWorker({ handlers })).rejects.toMatchObject({
      code: "MILLRACE_BAD_MODULE",
      message: expect.stringMatching(message),
    })
  }
})
