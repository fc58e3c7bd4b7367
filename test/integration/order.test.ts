import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, waitedFor, type Fixture } from "../support/app.ts"
import { range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

interface Task {
  readonly n: number
  readonly priority: number
}

/** Mixed priorities, many jobs each. */
const tasks: readonly Task[] = range(200).map((n) => ({ n, priority: [0, 5, -3, 5, 1][n % 5]! }))
const inOrder = [...tasks].sort((a, b) => b.priority - a.priority || a.n - b.n)

for (const [what, claimAhead] of [
  ["without claiming ahead", 0],
  ["claiming ahead as measured", undefined],
  ["claiming 7 ahead", 7],
] as const) {
  const options = { concurrency: 1, ...(claimAhead === undefined ? {} : { claimAhead }) }

  test(`one at a time, jobs start by priority, then first come first served, ${what}`, async () => {
    const name = `order-${claimAhead}`
    await app.declareQueue({ name, ...options })
    const task = defineJob<Task>({ name, queue: name })
    const jobs = []
    for (const one of tasks) jobs.push(await app.push(task, one, { priority: one.priority, wake: false }))
    const started: Task[] = []
    const done = app.wait(jobs, { timeout: "20s" })
    await waitedFor(own.pool, name)
    await using _worker = await own.worker(app, { handlers: [task.handler((one) => void started.push(one))] })
    await done
    expect(started).toEqual(inOrder)
  })

  test(`jobs of one pushMany start in its order, ${what}`, async () => {
    const name = `batch-${claimAhead}`
    await app.declareQueue({ name, ...options })
    const task = defineJob<number>({ name, queue: name })
    const jobs = await app.pushMany(task, range(1_500))
    const started: number[] = []
    const done = app.wait(jobs, { timeout: "20s" })
    await waitedFor(own.pool, name)
    await using _worker = await own.worker(app, { handlers: [task.handler((n) => void started.push(n))] })
    await done
    expect(started).toEqual(range(1_500))
  })
}

test("a job of higher priority that comes while others wait starts next", async () => {
  await app.declareQueue({ name: "urgent", concurrency: 1, claimAhead: 0 })
  const task = defineJob<string>({ name: "urgent", queue: "urgent" })
  const open = gate()
  const started: string[] = []
  await using _worker = await own.worker(app, {
    handlers: [
      task.handler(async (name) => {
        started.push(name)
        if (name === "first") await open.opened
      }),
    ],
  })
  const first = await app.push(task, "first")
  await reached(app, first, "running")
  const rest = await app.pushMany(task, range(20).map(String))
  const urgent = await app.push(task, "urgent", { priority: 1 })
  const done = app.wait([first, urgent, ...rest], { timeout: "20s" })
  await waitedFor(own.pool, "urgent")
  open.open()
  await done
  expect(started).toEqual(["first", "urgent", ...range(20).map(String)])
})

test("a waiting job whose priority is raised overtakes", async () => {
  await app.declareQueue({ name: "raised", concurrency: 1, claimAhead: 0 })
  const task = defineJob<number>({ name: "raised", queue: "raised" })
  const jobs = await app.pushMany(task, range(5))
  await jobs[3]!.update({ priority: 2 })
  await jobs[4]!.update({ priority: 1 })
  const started: number[] = []
  const done = app.wait(jobs, { timeout: "20s" })
  await waitedFor(own.pool, "raised")
  await using _worker = await own.worker(app, { handlers: [task.handler((n) => void started.push(n))] })
  await done
  expect(started).toEqual([3, 4, 0, 1, 2])
})
