import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

test("the newest progress is seen while the job runs, and kept in the history", async () => {
  const steps = [gate(), gate()] as const
  const long = defineJob({ name: "long" })
  await using _worker = await own.worker(app, {
    handlers: [
      long.handler(async (_, job) => {
        job.progress(0.1)
        job.progress({ done: 5, of: 10 })
        await steps[0].opened
        job.progress("nearly there")
        await steps[1].opened
      }),
    ],
  })
  const job = await app.push(long)
  const first = await until(async () => (await job.get())!.progress, "some progress is stored")
  expect(first).toEqual({ done: 5, of: 10 })
  steps[0].open()
  await until(async () => (await job.get())!.progress === "nearly there", "the newest progress is stored")
  steps[1].open()
  expect(await ended(app, job)).toMatchObject({ state: "succeeded", progress: "nearly there" })
})

test("progress told right before the handler returns is kept", async () => {
  const quick = defineJob({ name: "quick" })
  await using _worker = await own.worker(app, { handlers: [quick.handler((_, job) => job.progress("all of it"))] })
  expect(await ended(app, await app.push(quick))).toMatchObject({ state: "succeeded", progress: "all of it" })
})

test("progress survives a failed attempt", async () => {
  const stored = gate()
  const failing = defineJob({ name: "failing", backoff: atOnce, maxAttempts: 2 })
  await using _worker = await own.worker(app, {
    handlers: [
      failing.handler(async (_, job) => {
        if (job.attempt === 1) job.progress("half")
        await stored.opened
        raise(new Error("no"))
      }),
    ],
  })
  const job = await app.push(failing)
  await until(async () => (await job.get())!.progress === "half", "it is stored")
  stored.open()
  expect(await ended(app, job)).toMatchObject({ state: "failed", progress: "half" })
})

test("progress that is not JSON is repaired, and harms nobody", async () => {
  const stored = gate()
  const odd = defineJob({ name: "odd" })
  const circle: Record<string, unknown> = { big: 10n, text: "a\0b" }
  circle.self = circle
  await using _worker = await own.worker(app, {
    handlers: [
      odd.handler(async (_, job) => {
        job.progress(circle)
        await stored.opened
      }),
    ],
  })
  const job = await app.push(odd)
  const progress = await until(async () => (await job.get())!.progress, "something is stored")
  expect(progress).toMatchObject({ big: expect.anything(), text: expect.stringContaining("a") })
  stored.open()
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
})
