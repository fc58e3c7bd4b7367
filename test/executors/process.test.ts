import os from "node:os"
import { processExecutor } from "millrace/worker"
import { describe, expect, test } from "vitest"
import { startApp } from "../support/start-app.ts"
import { conformance } from "./conformance.ts"
import { handlers, handling } from "./handling.ts"
import { harm } from "./harm.ts"
import { behave, crashing, marked } from "./jobs.ts"

describe("process", () => {
  const queue = { executor: "process", concurrency: 2 }
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
    withInit: processExecutor({ init: new URL("./init.ts", import.meta.url) }),
    crashes: {
      exit: /exit code 3/,
      abort: /SIGABRT/,
      uncaught: /exit code 1/,
      rejection: /exit code 1/,
    },
  })

  test("memory outside the JavaScript heap counts as well", async () => {
    const { app } = await startApp({ queues: [{ ...queue, memoryLimit: "256mb", name: "work" }], handlers })
    const job = await app.push(crashing, { how: "buffers" })
    const [record] = await app.wait([job], { timeout: "20s" })
    expect(record).toMatchObject({ state: "failed", errors: [{ code: "MILLRACE_MEMORY_LIMIT" }] })
  })

  test("its default concurrency fits the machine", () => {
    const executor = processExecutor()({
      name: "work",
      concurrency: undefined,
      options: {},
      memoryLimit: undefined,
      modules: [],
      app: undefined,
      maxPayload: 1,
      log: console,
    })
    expect(executor.defaultConcurrency).toBe(os.availableParallelism())
  })

  test("the init module is run once in each process, before the handlers", async () => {
    const init = new URL("./init.ts", import.meta.url)
    const { app } = await startApp({
      queues: [{ ...queue, concurrency: 1, name: "work" }],
      handlers,
      executors: { process: processExecutor({ init }) },
    })
    const jobs = await app.pushMany(marked, [undefined, undefined])
    for (const job of jobs) expect(await job.result({ timeout: "20s" })).toBe(1)
  })
})
