import { cancel, defineJob } from "millrace"
import { expect, test } from "vitest"
import { z } from "zod"
import { startApp } from "../support/start-app.ts"

const task = defineJob<unknown, unknown>({ name: "task" })

test("a long error in a script of many bytes keeps its message as well", async () => {
  const { app } = await startApp({ handlers: [task.handler(() => Promise.reject(new Error("誤り".repeat(5_000))))] })
  const job = await app.push(task, 1, { maxAttempts: 1 })
  await app.wait([job])
  const [error] = (await job.get())!.errors
  expect(error).toMatchObject({ name: "Error", attempt: 1, message: expect.stringMatching(/^誤り誤り/) })
})

test("a handler may return another library's promise", async () => {
  // What its `then` returns is no Promise of ours.
  const foreign = (value: unknown) => ({
    // oxlint-disable-next-line unicorn/no-thenable
    then: (resolve: (value: unknown) => void) => void setImmediate(resolve, value),
  })
  const { app } = await startApp({ handlers: [task.handler(foreign)], shutdownTimeout: 0, grace: 0 })
  expect(await (await app.push(task, 3, { maxAttempts: 1 })).result({ timeout: "5s" })).toBe(3)
})

test("meta that a handler changes deep inside is saved", async () => {
  const { app } = await startApp({
    handlers: [task.handler((_, job) => void ((job.meta.deep as { n: number }).n += 1))],
  })
  const job = await app.push(task, 1, { meta: { deep: { n: 1 } } })
  await job.result()
  expect((await job.get())!.meta).toEqual({ deep: { n: 2 } })
})

test("onError may look at what cannot be put into words", async () => {
  const odd = defineJob<unknown>({ name: "odd", onError: () => cancel() })
  const { app } = await startApp({
    handlers: [odd.handler(() => Promise.reject(Object.create(null) as Error))],
    shutdownTimeout: 0,
    grace: 0,
  })
  const job = await app.push(odd, 1)
  await expect(job.result({ timeout: "5s" })).rejects.toMatchObject({ code: "MILLRACE_CANCELLED" })
})

test("a payload that another job refused is an error of the handler, and is tried again", async () => {
  const strict = defineJob({ name: "strict", payload: z.object({ n: z.number() }) })
  const { app } = await startApp({
    handlers: [
      task.handler(async (_, job) => {
        if (job.attempt === 1) await job.push(strict, { n: "one" } as never)
        return job.attempt
      }),
    ],
  })
  const job = await app.push(task, 1, { backoff: { initial: 0 } })
  expect(await job.result()).toBe(2)
})
