import os from "node:os"
import { threadExecutor, Worker } from "millrace/worker"
import { describe, expect, onTestFinished, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"
import { conformance, scratchFile, written } from "./conformance.ts"
import { handlers, handling } from "./handling.ts"
import { harm } from "./harm.ts"
import { behave, crashing, echo, marked } from "./jobs.ts"

describe("thread", () => {
  const queue = { executor: "thread", concurrency: 2 }
  conformance({
    queue,
    worker: { handlers },
    push: (app, what, file) => app.push(behave, { do: what, file }, { maxAttempts: what === "fail" ? 2 : 1 }),
    result: "told to succeed",
    hardStop: true,
  })
  handling({ queue })
  harm({
    queue,
    withInit: threadExecutor({ init: new URL("./init.ts", import.meta.url) }),
    crashes: {
      exit: /exit code 3/,
      uncaught: /nobody catches me/,
      rejection: /nobody catches me either/,
    },
  })

  test("a handler that computes for three leases keeps its lease, runs once, and is ended by its time limit", async () => {
    const lease = 500
    const clocks = { heartbeat: lease / 5, lease, sweep: lease / 5, grace: "50ms" } as const
    const { app, addWorker } = await startApp({ queues: [{ ...queue, name: "work" }], handlers, ...clocks })
    const job = await app.push(crashing, { how: "loop" }, { timeout: 3 * lease })
    await app.wait([job], { states: ["running"], timeout: "20s" })
    await addWorker({ handlers, ...clocks })
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({ state: "failed", claims: 1, crashes: 0, errors: [{ code: "MILLRACE_TIMEOUT" }] })
  })

  test("its default concurrency fits the machine", () => {
    const executor = threadExecutor()({
      name: "work",
      concurrency: undefined,
      options: {},
      memoryLimit: undefined,
      modules: [],
      app: undefined,
      maxPayload: 1,
      log: console,
    })
    expect(executor.defaultConcurrency).toBe(Math.min(32, os.availableParallelism() + 4))
  })

  test("the init module is run once in each thread, before the handlers", async () => {
    const init = new URL("./init.ts", import.meta.url)
    const { app } = await startApp({
      queues: [{ ...queue, concurrency: 1, name: "work" }],
      handlers,
      executors: { thread: threadExecutor({ init }) },
    })
    const jobs = await app.pushMany(marked, [undefined, undefined])
    for (const job of jobs) expect(await job.result({ timeout: "20s" })).toBe(1)
  })

  test("an init module that cannot be loaded leaves the queue alone, and is told", async () => {
    const init = new URL("./no-such-module.js", import.meta.url)
    const { app, log, worker } = await startApp({
      queues: [{ ...queue, name: "work" }],
      handlers,
      executors: { thread: threadExecutor({ init }) },
    })
    expect(worker.queues).toEqual(["default"])
    expect(log.lines.filter(({ fields }) => fields?.code === "MILLRACE_EXECUTOR_START")).toMatchObject([
      { level: "error", message: expect.stringMatching(/"work".*could not be started.*no-such-module/s) },
    ])
    expect(await (await app.push(echo, 1)).get()).toMatchObject({ state: "pending", claims: 0 })
  })

  test("a worker stops although its threads are still being started", async () => {
    const init = new URL("./hanging-init.ts", import.meta.url)
    const file = (process.env.MILLRACE_TEST_FILE = scratchFile())
    onTestFinished(() => void delete process.env.MILLRACE_TEST_FILE)
    const { app } = await startApp({ worker: false, queues: [{ ...queue, name: "work" }] })
    const worker = new Worker(app, { handlers, executors: { thread: threadExecutor({ init }) } })
    const starting = worker.start()
    await until(() => written(file) !== undefined)
    expect(await worker.stop()).toBe(true)
    await starting.catch(() => {})
    expect(worker.state).toBe("stopped")
  })

  test("what is no URL is refused as init", () => {
    expect(() => threadExecutor({ init: "./init.ts" as never })).toThrow(/threadExecutor\.init: must be a URL/)
    expect(() => threadExecutor({ inti: 1 } as never)).toThrow(/Did you mean "init"/)
  })
})
