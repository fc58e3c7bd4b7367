import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, until, type Fixture } from "../support/app.ts"
import { ended, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
})
afterAll(() => own.close())

test("concurrency raised while jobs run starts more at once", async () => {
  await app.declareQueue({ name: "raised", concurrency: 2, claimAhead: 0 })
  const open = gate()
  const slow = defineJob<number>({ name: "raised", queue: "raised" })
  await using worker = await own.worker(app, { handlers: [slow.handler(() => open.opened)] })
  const jobs = await app.pushMany(slow, range(10))
  await until(() => worker.running === 2, "two run")
  await app.declareQueue({ name: "raised", concurrency: 7, claimAhead: 0 }, { upsert: true })
  await until(() => worker.running === 7, "seven run")
  open.open()
  for (const record of await app.wait(jobs, { timeout: "20s" }))
    expect(record).toMatchObject({ state: "succeeded", claims: 1 })
})

test("concurrency lowered while jobs run disturbs none of them, and starts none until it is kept", async () => {
  await app.declareQueue({ name: "lowered", concurrency: 5, claimAhead: 0 })
  const gates = range(12).map(() => gate())
  const started = new Set<number>()
  const slow = defineJob<number>({ name: "lowered", queue: "lowered" })
  await using worker = await own.worker(app, {
    handlers: [
      slow.handler(async (n) => {
        started.add(n)
        await gates[n]!.opened
      }),
    ],
  })
  const jobs = await app.pushMany(slow, range(12))
  await until(() => worker.running === 5, "five run")
  await app.declareQueue({ name: "lowered", concurrency: 2, claimAhead: 0 }, { upsert: true })
  await app.declareQueue("declared-after")
  await until(() => worker.queues.includes("declared-after"), "both changes are heard")
  expect(worker.running).toBe(5)
  let most = 0
  for (const n of range(3)) gates[n]!.open()
  await app.wait(jobs.slice(0, 3), { timeout: "20s" })
  await until(() => worker.running === 2, "two are left")
  for (const n of range(12).slice(3)) {
    gates[n]!.open()
    await app.wait([jobs[n]!], { timeout: "20s" })
    most = Math.max(most, worker.running)
  }
  expect(most).toBeLessThanOrEqual(2)
  expect(started.size).toBe(12)
})

test("a queue that is removed lets its jobs finish, and runs again when it is declared again", async () => {
  await app.declareQueue({ name: "comes-back", concurrency: 1, claimAhead: 0 })
  const gates = [gate(), gate()]
  const slow = defineJob<number, number>({ name: "comes-back", queue: "comes-back" })
  await using worker = await own.worker(app, {
    handlers: [slow.handler((n) => gates[n]!.opened.then(() => n))],
  })
  const jobs = await app.pushMany(slow, [0, 1])
  await reached(app, jobs[0]!, "running")
  expect(await app.deleteQueue("comes-back")).toBe(0)
  await until(() => !worker.queues.includes("comes-back"), "the worker has left it")
  expect(worker.running).toBe(1)
  gates[0]!.open()
  expect(await jobs[0]!.result({ timeout: "20s" })).toBe(0)
  expect(await jobs[1]!.get()).toMatchObject({ state: "pending" })
  await app.declareQueue("comes-back")
  gates[1]!.open()
  expect(await jobs[1]!.result({ timeout: "20s" })).toBe(1)
})

test("a queue declared while a worker runs is taken up", async () => {
  const fresh = defineJob<undefined, string>({ name: "fresh" })
  await using _worker = await own.worker(app, { handlers: [fresh.handler(() => "ran")] })
  await app.declareQueue("declared-late")
  const job = await app.push(fresh, undefined, { queue: "declared-late" })
  expect(await job.result({ timeout: "20s" })).toBe("ran")
})

test("without notifications a changed queue is noticed by polling", async () => {
  const quiet = await own.app({ notifications: false })
  const elsewhere = await own.app({ notifications: false })
  await using worker = await own.worker(quiet)
  await elsewhere.declareQueue("quietly-declared")
  await until(() => worker.queues.includes("quietly-declared"), "it is taken up")
  await elsewhere.deleteQueue("quietly-declared")
  await until(() => !worker.queues.includes("quietly-declared"), "it is left")
})

test("a queue whose executor the worker does not have is reported once, and left to others", async () => {
  await app.declareQueue({ name: "special", executor: "special" })
  const job = defineJob<undefined, string>({ name: "special", queue: "special" })
  await using without = await own.worker(app, { handlers: [job.handler(() => "async")] })
  const told = () => log.lines.filter(({ fields }) => fields?.code === "MILLRACE_NO_EXECUTOR")
  await until(() => told().length > 0, "it is reported")
  const pushed = await app.push(job)
  expect(without.queues).not.toContain("special")
  await using _with = await own.worker(app, {
    executors: { special: { run: () => ({ ok: true, value: "special" }) } },
    handlers: [job.handler(() => "unused")],
  })
  expect(await pushed.result({ timeout: "20s" })).toBe("special")
  expect(told()).toHaveLength(1)
})

test("an executor that needs no handlers runs jobs of any name, one at a time by default", async () => {
  await app.declareQueue({ name: "shell", executor: "shell" })
  const anything = defineJob<{ n: number }, unknown>({ name: "anything", queue: "shell" })
  let now = 0
  let most = 0
  await using _worker = await own.worker(app, {
    executors: {
      shell: {
        needsHandler: false,
        async run({ name, payload, payloadText, handler, definition }) {
          most = Math.max(most, ++now)
          await Promise.resolve()
          now -= 1
          return {
            ok: true,
            value: { name, payload, text: JSON.parse(payloadText), handler: !!handler || !!definition },
          }
        },
      },
    },
  })
  const jobs = await app.pushMany(anything, [{ n: 1 }, { n: 2 }, { n: 3 }])
  expect(await Promise.all(jobs.map((job) => job.result({ timeout: "20s" })))).toEqual(
    [1, 2, 3].map((n) => ({ name: "anything", payload: { n }, text: { n }, handler: false })),
  )
  expect(most).toBe(1)
})

test("an executor's failures are failures of the job; one that throws harms nobody else", async () => {
  await app.declareQueue({ name: "breaking", executor: "breaking" })
  const broken = defineJob<string>({ name: "broken", queue: "breaking", maxAttempts: 1 })
  const fine = defineJob<undefined, string>({ name: "fine" })
  await using _worker = await own.worker(app, {
    executors: {
      breaking: {
        needsHandler: false,
        run({ payload }) {
          if (payload === "throws") throw new Error("executor bug")
          if (payload === "rejects") return Promise.reject(new Error("executor bug"))
          return { ok: false, error: new Error("said so") }
        },
      },
    },
    handlers: [fine.handler(() => "fine")],
  })
  const jobs = await app.pushMany(broken, ["throws", "rejects", "reports"])
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ state, errors }) => [state, errors[0]?.message])).toEqual([
    ["failed", "executor bug"],
    ["failed", "executor bug"],
    ["failed", "said so"],
  ])
  expect(await (await app.push(fine)).result({ timeout: "20s" })).toBe("fine")
})

test("a queue whose executor changes goes on with the other one", async () => {
  await app.declareQueue({ name: "switching" })
  const job = defineJob<undefined, string>({ name: "switching", queue: "switching" })
  await using _worker = await own.worker(app, {
    executors: { other: { needsHandler: false, run: () => ({ ok: true, value: "other" }) } },
    handlers: [job.handler(() => "async")],
  })
  expect(await (await app.push(job)).result({ timeout: "20s" })).toBe("async")
  await app.declareQueue({ name: "switching", executor: "other" }, { upsert: true })
  await until(
    async () => (await (await app.push(job)).result({ timeout: "20s" })) === "other",
    "the other one runs them",
  )
})

test("jobs in a queue that nobody declared are reported once, and run when it is declared", async () => {
  const lost = defineJob<undefined, string>({ name: "lost" })
  await using _worker = await own.worker(app, { handlers: [lost.handler(() => "found")] })
  const job = await app.push(lost, undefined, { queue: "undeclared" })
  const told = () => log.lines.filter(({ message }) => message.includes(`queue "undeclared"`))
  await until(() => told().length > 0, "it is reported")
  expect(told()[0]).toMatchObject({ level: "warn", message: expect.stringContaining("never declared") })
  await app.declareQueue("undeclared")
  expect(await job.result({ timeout: "20s" })).toBe("found")
  expect(told()).toHaveLength(1)
})

test("a pause hands back what was claimed ahead, uncharged, and lets running jobs finish", async () => {
  await app.declareQueue({ name: "pausing", concurrency: 1, claimAhead: 10 })
  const open = gate()
  const slow = defineJob<number>({ name: "pausing", queue: "pausing" })
  const jobs = await app.pushMany(slow, range(4))
  await using worker = await own.worker(app, { handlers: [slow.handler(() => open.opened)] })
  await app.wait(jobs, { states: ["running"], timeout: "20s" })
  await until(() => worker.running === 1, "the first one runs")
  await app.pauseQueue("pausing")
  const waiting = await app.wait(jobs.slice(1), { states: ["pending"], timeout: "20s" })
  expect(waiting.map(({ state, attempts }) => [state, attempts])).toEqual(range(3).map(() => ["pending", 0]))
  expect(worker.running).toBe(1)
  open.open()
  expect(await ended(app, jobs[0]!)).toMatchObject({ state: "succeeded", claims: 1 })
  expect((await Promise.all(jobs.slice(1).map((job) => job.get()))).map((record) => record!.state)).toEqual(
    range(3).map(() => "pending"),
  )
  await app.resumeQueue("pausing")
  for (const record of await app.wait(jobs, { timeout: "20s" })) expect(record.state).toBe("succeeded")
})

test("deleting a queue with its jobs leaves those that run", async () => {
  await app.declareQueue({ name: "wiped", concurrency: 1, claimAhead: 0 })
  const open = gate()
  const slow = defineJob<number, string>({ name: "wiped", queue: "wiped" })
  const jobs = await app.pushMany(slow, range(5))
  await using _worker = await own.worker(app, { handlers: [slow.handler(() => open.opened.then(() => "finished"))] })
  await reached(app, jobs[0]!, "running")
  expect(await app.deleteQueue("wiped", { jobs: true })).toBe(4)
  open.open()
  expect(await jobs[0]!.result({ timeout: "20s" })).toBe("finished")
  expect(await jobs[1]!.get()).toBeUndefined()
})

test("a claim that waits too long for a slot goes back to the queue", async () => {
  await app.declareQueue({ name: "hoarded", concurrency: 1, claimAhead: 5, pollInterval: "50ms" })
  const open = gate()
  const slow = defineJob<number>({ name: "hoarded", queue: "hoarded" })
  const [first, second] = await app.pushMany(slow, range(2))
  await using _worker = await own.worker(app, { handlers: [slow.handler(() => open.opened)] })
  await Promise.all([reached(app, first!, "running"), reached(app, second!, "running")])
  await until(async () => (await second!.get())!.claims > 1, "it went back, and was claimed anew")
  open.open()
  expect(await ended(app, second!)).toMatchObject({ state: "succeeded", attempts: 1 })
})
