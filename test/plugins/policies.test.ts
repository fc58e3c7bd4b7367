import { age, attempts, defineJob, errorText, jobName, payload } from "millrace"
import { leadership, reprioritize, retryPolicies } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

class Refused extends Error {}

const work = defineJob<{ fail: string }>({ name: "work", maxAttempts: 3, backoff: { initial: 0 } })

test("retry policies decide by error class, code, and rule; the first that fits", async () => {
  const { app } = await startApp({
    handlers: [
      work.handler(({ fail }) => {
        if (fail === "class") throw new Refused("no such card")
        throw Object.assign(new Error(fail), { code: fail === "code" ? "ECONNRESET" : undefined })
      }),
    ],
    plugins: [
      retryPolicies({
        policies: [
          { errors: [Refused], outcome: "discard" },
          { errors: ["ECONNRESET"], outcome: { retryAfter: "1h" } },
          { rule: payload("fail").eq("rule").and(attempts.gte(1)), outcome: "discard" },
          { rule: jobName.eq("work").and(errorText.contains("busy")), outcome: { snooze: "1h" } },
        ],
      }),
    ],
  })
  const push = (fail: string) => app.push(work, { fail })
  const [byClass, byCode, byRule, bySnooze, byDefault] = [
    await push("class"),
    await push("code"),
    await push("rule"),
    await push("too busy"),
    await push("other"),
  ]
  const ended = await app.wait([byClass, byRule, byDefault], { timeout: "20s" })
  expect(ended.map((job) => [job.state, job.attempts])).toEqual([
    ["failed", 1],
    ["failed", 2],
    ["failed", 3],
  ])
  await app.wait([byCode], { states: ["retrying"], timeout: "10s" })
  await app.wait([bySnooze], { states: ["scheduled"], timeout: "10s" })
  expect((await bySnooze.get())!.attempts).toBe(0)
})

test.each([
  [() => retryPolicies({} as never), /policies/],
  [() => retryPolicies({ policies: [{ outcome: "drop" }] } as never), /"discard", \{ retryAfter/],
  [
    () => retryPolicies({ policies: [{ rule: age.gt("1h"), outcome: "discard" }] }),
    /"age" is not known of a job that runs/,
  ],
  [() => retryPolicies({ policies: [{ error: [], outcome: "discard" }] } as never), /no option "error"/],
  [() => reprioritize({} as never), /rule/],
  [() => reprioritize({ rule: age.gt("1m"), check_interval: "1m" } as never), /every/],
])("bad options are refused where they are written: %#", (make, message) => {
  expect(make).toThrow(message)
})

test("waiting jobs are raised once per interval, up to the ceiling, however many leaders there are", async () => {
  const { app, addWorker } = await startApp({ worker: false, queues: [{ name: "idle", tags: [] }] })
  const [job] = await app.pushMany(work, [{ fail: "" }], { queue: "idle" })
  const urgent = await app.push(work, { fail: "" }, { queue: "idle", priority: 9 })
  const later = await app.push(work, { fail: "" }, { queue: "idle", runAt: "in 1h" })
  const plugins = () => [
    leadership({ mode: "always" }),
    reprioritize({ rule: age.gte("0ms"), by: 2, ceiling: 5, every: "1h" }),
    reprioritize({ name: "quick", rule: age.gte("0ms"), by: 2, ceiling: 5, every: "60ms" }),
  ]
  await addWorker({ plugins: plugins() })
  await addWorker({ plugins: plugins() })
  await until(async () => (await job!.get())!.priority === 5)
  expect((await urgent.get())!.priority).toBe(9)
  expect((await later.get())!.priority).toBe(0)
})

test("a job that was raised is not raised again before its interval is over", async () => {
  const { app, addWorker } = await startApp({ worker: false, queues: [{ name: "idle", tags: [] }] })
  const jobs = await app.pushMany(work, [{ fail: "a" }, { fail: "b" }], { queue: "idle" })
  const plugins = () => [
    leadership({ mode: "always" }),
    reprioritize({ rule: age.gte("0ms"), by: 2, ceiling: 100, every: "1h", batch: 1 }),
  ]
  for (let round = 0; round < 3; round++) {
    const worker = await addWorker({ plugins: plugins() })
    await until(async () => (await Promise.all(jobs.map((job) => job.get()))).every((job) => job!.priority >= 2))
    await worker.stop()
  }
  expect(await Promise.all(jobs.map(async (job) => (await job.get())!.priority))).toEqual([2, 2])
})
