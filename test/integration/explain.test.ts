import { defineJob, type QueueOptions } from "millrace"
import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { deferred } from "../../src/lib/deferred.ts"
import { startApp, until } from "../support/start-app.ts"

/* Why a job does not run now, one reason after the other. */

const work = defineJob<{ key: string }>({ name: "work", queue: "q", limitKey: "key", maxAttempts: 3 })
const plain = defineJob<number>({ name: "plain", queue: "q" })

async function scene(queue: Partial<QueueOptions> = {}) {
  const open = deferred<void>()
  const handlers = [
    work.handler(async ({ key }, job) => {
      if (key === "fails") throw new Error("disk full")
      job.signal.addEventListener("abort", () => open.resolve())
      await open.promise
    }),
    plain.handler(() => open.promise),
  ]
  const started = await startApp({ queues: [{ ...queue, name: "q" }], handlers, app: { plugins: [] } })
  const codes = async (id: string) => (await started.app.explain(id)).reasons.map(({ code }) => code)
  return { ...started, open, handlers, codes }
}

test("what waits for a limit says which, who holds it, and when it frees", async () => {
  const { app, open, codes } = await scene({ globalConcurrency: 2, keyConcurrency: 1 })
  const [a, b] = await app.pushMany(work, [{ key: "a" }, { key: "b" }])
  await app.wait([a!, b!], { states: ["running"], timeout: "20s" })
  expect(await app.explain(a!)).toMatchObject({
    state: "running",
    text: expect.stringMatching(/^It runs now, on the worker/),
  })
  const waiting = await app.push(work, { key: "a" })
  expect(await codes(waiting.id)).toEqual(["global-concurrency", "key-concurrency", "turn"])
  const { reasons } = await app.explain(waiting)
  expect(reasons[0]!.text).toBe("2 of 2 jobs of its queue run; it frees when one of them ends.")
  expect(reasons[1]).toMatchObject({ jobs: [a!.id], text: expect.stringContaining('1 of 1 jobs of its key "a" run') })
  open.resolve()
  await waiting.result({ timeout: "20s" })
  expect(await codes(waiting.id)).toEqual(["finished"])
})

test("a rate says when it allows more, by the database's clock", async () => {
  const { app, open } = await scene({
    rateLimit: { limit: 1, per: "1h" },
    keyRateLimit: { limit: 1, per: "2h", burst: 1 },
  })
  open.resolve()
  const first = await app.push(work, { key: "a" })
  await first.result({ timeout: "20s" })
  const second = await app.push(work, { key: "a" })
  const { startedAt } = (await first.get())!
  const { reasons } = await app.explain(second)
  const [rate, key] = reasons
  expect(rate).toMatchObject({ code: "rate-limit" })
  expect(Math.round((rate!.until!.getTime() - startedAt!.getTime()) / 1_000)).toBe(3_600)
  expect(key).toMatchObject({ code: "key-rate-limit" })
  expect(Math.round((key!.until!.getTime() - startedAt!.getTime()) / 1_000)).toBe(7_200)
})

test("paused, scheduled, between attempts, without a worker or a handler, undeclared: each in words", async () => {
  const { app, codes } = await scene()
  await app.pauseQueue("q", { until: "in 1h" })
  const paused = await app.push(plain, 1)
  expect(await app.explain(paused)).toMatchObject({
    text: expect.stringMatching(/^Its queue "q" is paused until 20\d\d-/),
    reasons: [{ code: "paused", until: expect.any(Date) }, { code: "turn" }],
  })
  expect(await codes((await app.push(plain, 1, { delay: "1h" })).id)).toEqual(["scheduled", "paused", "turn"])
  await app.resumeQueue("q")
  const failing = await app.push(work, { key: "fails" }, { backoff: { initial: "1h", jitter: "none" } })
  await app.wait([failing], { states: ["retrying"], timeout: "20s" })
  expect((await app.explain(failing)).text).toMatch(/^Attempt 1 of 3 failed \(disk full\); the next one is due 20/)
  const stranger = defineJob({ name: "stranger", queue: "q" })
  const unknown = await app.push(stranger)
  await app.wait([unknown], { states: ["blocked"], timeout: "20s" })
  expect((await app.explain(unknown)).text).toBe(
    'No worker has a handler for "stranger". It goes on when one starts that has.',
  )
  expect(await codes((await app.push(plain, 1, { queue: "nowhere" })).id)).toEqual(["undeclared-queue", "turn"])
  await app.declareQueue({ name: "elsewhere", tags: ["has=gpu"] })
  expect((await app.explain(await app.push(plain, 1, { queue: "elsewhere" }))).text).toBe(
    'None of the 1 workers has a tag that its queue "elsewhere" asks for (has=gpu).',
  )
})

test("ordered keys say who comes first, and what stopped them; a duplicate says who holds the key", async () => {
  const { app, codes } = await scene({ ordered: "stop" })
  const failed = await app.push(work, { key: "fails" }, { maxAttempts: 1 })
  await app.wait([failed], { timeout: "20s" })
  const behind = await app.push(work, { key: "fails" })
  await until(async () => (await codes(behind.id)).includes("key-stopped"))
  expect((await app.explain(behind)).reasons[0]).toMatchObject({ jobs: [failed.id] })
  const held = await app.push(work, { key: "x" }, { uniqueKey: "u" })
  await app.wait([held], { states: ["running"], timeout: "20s" })
  const next = await app.push(work, { key: "x" })
  const last = await app.push(work, { key: "x" })
  expect((await app.explain(last)).reasons.find(({ code }) => code === "key-order")).toMatchObject({ jobs: [next.id] })
  const twice = await app.push(work, { key: "x" }, { uniqueKey: "u" })
  expect((await app.explain(twice)).reasons.at(-1)).toMatchObject({ code: "duplicate", jobs: [held.id] })
})

test("a job that nobody knows is refused", async () => {
  const { app } = await startApp({ worker: false })
  await expect(app.explain(randomUUID())).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  await expect(app.explain("nonsense")).rejects.toMatchObject({ code: "MILLRACE_BAD_ID" })
})
