import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, type Fixture } from "../support/app.ts"
import { range } from "../support/worker-fixture.ts"

let own: Fixture
let apps: Millrace[]
beforeAll(async () => {
  own = await fixture()
  apps = [await own.app(), await own.app({ notifications: false })]
})
afterAll(() => own.close())

test("two workers share 2,000 jobs, and each job runs exactly once", async () => {
  await apps[0]!.declareQueue({ name: "default", concurrency: 20, pollInterval: "50ms" })
  const task = defineJob<number, number>({ name: "task" })
  const runs: number[] = []
  const handler = task.handler(async (n) => {
    runs.push(n)
    await Promise.resolve()
    return n
  })
  const early = await apps[0]!.pushMany(task, range(1_000))
  await using _a = await own.worker(apps[0]!, { id: "a", handlers: [handler] })
  await using _b = await own.worker(apps[1]!, { id: "b", handlers: [handler] })
  const late = await apps[1]!.pushMany(
    task,
    range(1_000).map((n) => n + 1_000),
  )
  const records = await apps[0]!.wait([...early, ...late], { timeout: "25s" })
  expect(records.map(({ state, result, attempts }) => ({ state, result, attempts }))).toEqual(
    range(2_000).map((result) => ({ state: "succeeded", result, attempts: 1 })),
  )
  expect(runs.sort((a, b) => a - b)).toEqual(range(2_000))
})

test("both workers take part when jobs take a while", async () => {
  await apps[0]!.declareQueue({ name: "slow", concurrency: 5, claimAhead: 0, pollInterval: "50ms" })
  const slow = defineJob<number>({ name: "slow", queue: "slow" })
  let running = 0
  let release!: () => void
  const all = new Promise<void>((resolve) => (release = resolve))
  const handler = slow.handler(async () => {
    if (++running === 10) release() // five each: neither could reach it alone
    await all
  })
  const jobs = await apps[0]!.pushMany(slow, range(10))
  await using _a = await own.worker(apps[0]!, { id: "left", handlers: [handler] })
  await using _b = await own.worker(apps[1]!, { id: "right", handlers: [handler] })
  const records = await apps[0]!.wait(jobs, { timeout: "20s" })
  expect(records.filter(({ worker }) => worker === "left")).toHaveLength(5)
  expect(records.filter(({ worker }) => worker === "right")).toHaveLength(5)
})
