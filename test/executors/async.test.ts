import { defineJob } from "millrace"
import { describe, expect, test } from "vitest"
import { gate } from "../support/app.ts"
import { startApp } from "../support/start-app.ts"
import { conformance } from "./conformance.ts"
import { handlers, handling } from "./handling.ts"
import { behave } from "./jobs.ts"

describe("async", () => {
  conformance({
    queue: { executor: "async" },
    worker: { handlers },
    push: (app, what, file) => app.push(behave, { do: what, file }, { maxAttempts: what === "fail" ? 2 : 1 }),
    result: "told to succeed",
    hardStop: false,
  })
  handling({ queue: { executor: "async" } })
})

test("several jobs run at a time on one event loop", async () => {
  const meet = defineJob<number, number>({ name: "meet", queue: "work" })
  let here = 0
  const all = gate()
  const { app } = await startApp({
    queues: [{ name: "work" }],
    handlers: meet.handler(async (n) => {
      if ((here += 1) === 100) all.open()
      await all.opened
      return n
    }),
  })
  const jobs = await app.pushMany(
    meet,
    Array.from({ length: 100 }, (_, n) => n),
  )
  expect(await jobs[99]!.result({ timeout: "20s" })).toBe(99)
})
