import * as Sentry from "@sentry/node"
import { defineJob, snooze } from "millrace"
import { sentry } from "millrace/worker"
import { beforeAll, beforeEach, expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

/** Events that would have been sent, by the real SDK over a transport of ours. */
const sent: Sentry.Event[] = []
beforeAll(() => {
  Sentry.init({
    dsn: "http://key@127.0.0.1/1",
    defaultIntegrations: false,
    transport: () => ({
      send: async ([, items]) => {
        for (const [header, event] of items) if (header.type === "event") sent.push(event as Sentry.Event)
        return { statusCode: 200 }
      },
      flush: async () => true,
    }),
  })
})
beforeEach(() => void (sent.length = 0))

const work = defineJob<{ secret: string; do: string }>({ name: "work", maxAttempts: 2, backoff: { initial: 0 } })

const handlers = [
  work.handler(async (payload) => {
    if (payload.do === "fail") throw new TypeError(`failed with ${payload.secret.length}`)
    if (payload.do === "crumbs") {
      Sentry.addBreadcrumb({ message: "on the way" })
      throw new Error("lost")
    }
    return payload.do === "snooze" ? snooze("1h") : undefined
  }),
]

test("each failure is told with its job, and without its payload", async () => {
  const { app } = await startApp({ handlers, plugins: [sentry({ sentry: Sentry })] })
  const job = await app.push(work, { secret: "s3cret", do: "fail" })
  await app.wait([job], { timeout: "10s" })
  await until(() => sent.length === 2)
  expect(sent[0]).toMatchObject({
    exception: { values: [{ type: "TypeError", value: "failed with 6" }] },
    tags: { "millrace.job": "work", "millrace.queue": "default" },
    contexts: { job: { id: job.id, attempt: 1, maxAttempts: 2 } },
  })
  expect(sent[1]!.contexts!.job).toMatchObject({ attempt: 2 })
  expect(JSON.stringify(sent)).not.toContain("s3cret")
})

test("what a handler notes stays with its own job", async () => {
  const { app } = await startApp({ handlers, plugins: [sentry({ sentry: Sentry, retries: false })] })
  const jobs = [await app.push(work, { secret: "", do: "crumbs" }), await app.push(work, { secret: "", do: "fail" })]
  await app.wait(jobs, { timeout: "10s" })
  await until(() => sent.length === 2) // the last attempt of each
  const crumbs = Object.fromEntries(
    sent.map((event) => [event.contexts!.job!.id, event.breadcrumbs?.map(({ message }) => message) ?? []]),
  )
  expect(crumbs).toEqual({ [jobs[0]!.id]: ["on the way"], [jobs[1]!.id]: [] })
})

test("success and what a handler decides itself are not told; the payload is, when asked for", async () => {
  const { app } = await startApp({ handlers, plugins: [sentry({ sentry: Sentry, payload: true })] })
  await (await app.push(work, { secret: "", do: "nothing" })).result({ timeout: "10s" })
  const snoozed = await app.push(work, { secret: "", do: "snooze" })
  await app.wait([snoozed], { states: ["scheduled"], timeout: "10s" })
  expect(sent).toEqual([])
  const failing = await app.push(work, { secret: "told", do: "fail" }, { maxAttempts: 1 })
  await app.wait([failing], { timeout: "10s" })
  await until(() => sent.length === 1)
  expect(sent[0]!.contexts!.job!.payload).toEqual({ secret: "told", do: "fail" })
})

test("options that do not fit are refused", () => {
  expect(() => sentry({} as never)).toThrow(/sentry/)
  expect(() => sentry({ sentry: {} } as never)).toThrow(/must be the module @sentry\/node/)
  expect(() => sentry({ sentry: Sentry, dsn: "x" } as never)).toThrow(/Initialise Sentry yourself/)
})
