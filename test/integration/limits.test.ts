import { defineJob, type Millrace, type Reference } from "millrace"
import { expect, test } from "vitest"
import { deferred } from "../../src/lib/deferred.ts"
import { startApp, until } from "../support/start-app.ts"
import { range } from "../support/worker-fixture.ts"

/*
 * Limits over several workers. What ran at a time is counted in the handlers themselves, never read from the tables.
 */

const work = defineJob<{ key: string; n: number }>({ name: "work", queue: "limited", limitKey: "key" })
const plain = defineJob<number>({ name: "plain", queue: "limited" })

/** Counts who runs at a time, in all and per key, and the order of starts. */
function meter() {
  const now = new Map<string, number>()
  const most = new Map<string, number>()
  const order: string[] = []
  const change = (key: string, by: number) => {
    now.set(key, (now.get(key) ?? 0) + by)
    most.set(key, Math.max(most.get(key) ?? 0, now.get(key)!))
  }
  return {
    most: (key = "all") => most.get(key) ?? 0,
    running: (key = "all") => now.get(key) ?? 0,
    order,
    async run(key: string, label: string, body: () => unknown) {
      order.push(label)
      for (const one of ["all", key]) change(one, 1)
      try {
        return await body()
      } finally {
        for (const one of ["all", key]) change(one, -1)
      }
    },
  }
}

const ended = (app: Millrace, jobs: readonly Reference[]) => app.wait(jobs, { timeout: "60s" })
const tick = () => new Promise((resolve) => setImmediate(resolve))

test("a global limit holds over several workers, and everything runs", async () => {
  const seen = meter()
  const handlers = [plain.handler((n) => seen.run("x", String(n), tick))]
  const { app, addWorker } = await startApp({ queues: [{ name: "limited", globalConcurrency: 3 }], handlers })
  await addWorker({ handlers })
  const jobs = await app.pushMany(plain, range(300))
  await ended(app, jobs)
  expect(seen.most()).toBe(3)
  expect(new Set(seen.order).size).toBe(300)
})

test("a slot that frees wakes the worker that has nothing to do", async () => {
  const gates = new Map<number, ReturnType<typeof deferred<void>>>()
  const started: number[] = []
  const gate = (n: number) => {
    if (!gates.has(n)) gates.set(n, deferred<void>())
    return gates.get(n)!
  }
  const handlers = [
    plain.handler(async (n) => {
      started.push(n)
      await gate(n).promise
    }),
  ]
  const { app, addWorker } = await startApp({
    queues: [{ name: "limited", globalConcurrency: 1, concurrency: 1, pollInterval: "1h" }],
    handlers,
  })
  await addWorker({ handlers })
  const jobs = await app.pushMany(plain, [1, 2, 3])
  for (const n of [1, 2, 3]) {
    await until(() => started.includes(n))
    expect(started.length).toBe(n)
    gate(n).resolve()
  }
  await ended(app, jobs)
})

test("a key's limit holds over several workers, keys do not hold each other up, and everything runs", async () => {
  const seen = meter()
  const handlers = [work.handler(({ key, n }) => seen.run(key, `${key}${n}`, tick))]
  const { app, addWorker } = await startApp({ queues: [{ name: "limited", keyConcurrency: 2 }], handlers })
  await addWorker({ handlers })
  const jobs = await app.pushMany(
    work,
    range(400).map((n) => ({ key: `k${n % 7}`, n })),
  )
  await ended(app, jobs)
  for (const n of range(7)) expect(seen.most(`k${n}`)).toBe(2)
  expect(new Set(seen.order).size).toBe(400)
})

test("a busy key does not hold up another one behind it", async () => {
  const open = deferred<void>()
  const handlers = [work.handler(({ key }) => (key === "busy" ? open.promise : undefined))]
  const { app } = await startApp({ queues: [{ name: "limited", keyConcurrency: 1 }], handlers })
  const busy = await app.pushMany(
    work,
    range(50).map((n) => ({ key: "busy", n })),
  )
  const other = await app.push(work, { key: "other", n: 1 })
  await other.result({ timeout: "20s" })
  open.resolve()
  await ended(app, busy)
})

test("jobs with a key and jobs without one share a queue, limited or not", async () => {
  const seen = meter()
  const handlers = [
    work.handler(({ key, n }) => seen.run(key, `${key}${n}`, tick)),
    plain.handler((n) => seen.run("none", `plain${n}`, tick)),
  ]
  const { app } = await startApp({ queues: [{ name: "limited", globalConcurrency: 4 }], handlers })
  const jobs = [
    ...(await app.pushMany(
      work,
      range(60).map((n) => ({ key: `k${n % 3}`, n })),
    )),
    ...(await app.pushMany(plain, range(60))),
  ]
  await ended(app, jobs)
  expect(seen.most()).toBe(4)
  await app.declareQueue({ name: "limited" }, { upsert: true })
  await ended(app, [...(await app.pushMany(work, [{ key: "a", n: 1 }])), ...(await app.pushMany(plain, [1]))])
})

test("a rate lets so many start per window, and the rest when it is over", async () => {
  const { app, sql } = await startApp({
    queues: [{ name: "limited", rateLimit: { limit: 20, per: "2s" }, pollInterval: "1h" }],
    handlers: [plain.handler(() => undefined)],
  })
  const jobs = await app.pushMany(plain, range(50))
  await ended(app, jobs)
  const rows = await sql<{ at: Date }>("select started_at as at from $schema.jobs_history order by started_at")
  // No window of two seconds that begins with a start which opened one holds more than twenty.
  const at = rows.map((row) => row.at.getTime())
  expect(at[20]! - at[0]!).toBeGreaterThanOrEqual(1_990)
  expect(at[40]! - at[20]!).toBeGreaterThanOrEqual(1_990)
})

test("a token bucket allows its burst, and then its rate; weights count", async () => {
  const { app, sql } = await startApp({
    queues: [{ name: "limited", rateLimit: { limit: 10, per: "1s", burst: 10 }, pollInterval: "1h" }],
    handlers: [plain.handler(() => undefined)],
  })
  const jobs = await app.pushMany(plain, range(8), { weight: 5 })
  await ended(app, jobs)
  const rows = await sql<{ at: Date }>("select started_at as at from $schema.jobs_history order by started_at")
  const at = rows.map((row) => row.at.getTime())
  // Two at once, and then one per half second: 6 more take 3 s.
  expect(at[7]! - at[0]!).toBeGreaterThanOrEqual(2_900)
})

test("a rate per key holds that key back, not the others", async () => {
  const { app, sql } = await startApp({
    queues: [{ name: "limited", keyRateLimit: { limit: 2, per: "1s" }, pollInterval: "1h" }],
    handlers: [work.handler(() => undefined)],
  })
  const slow = await app.pushMany(
    work,
    range(5).map((n) => ({ key: "a", n })),
  )
  const others = await app.pushMany(
    work,
    range(20).map((n) => ({ key: `b${n}`, n })),
  )
  await ended(app, others)
  expect((await sql("select from $schema.jobs")).length).toBe(3)
  await ended(app, slow)
  const rows = await sql<{ at: Date }>(
    "select started_at as at from $schema.jobs_history where payload->>'key' = 'a' order by started_at",
  )
  const at = rows.map((row) => row.at.getTime())
  expect(at[2]! - at[0]!).toBeGreaterThanOrEqual(990)
  expect(at[4]! - at[2]!).toBeGreaterThanOrEqual(990)
})

test("fair keys take turns, whoever has more", async () => {
  const order: string[] = []
  const handlers = [work.handler(({ key }) => void order.push(key))]
  const { app, addWorker } = await startApp({
    worker: false,
    queues: [{ name: "limited", fair: true, concurrency: 2 }],
  })
  const jobs = [
    ...(await app.pushMany(
      work,
      range(300).map((n) => ({ key: "big", n })),
    )),
    ...(await app.pushMany(
      work,
      range(20).map((n) => ({ key: "small", n })),
    )),
  ]
  await addWorker({ handlers })
  await ended(app, jobs)
  const small = order.flatMap((key, place) => (key === "small" ? [place] : []))
  expect(small[0]).toBeLessThan(4)
  expect(small.at(-1)).toBeLessThan(60)
})

test("among fair keys a higher priority goes first", async () => {
  const order: string[] = []
  const { app, addWorker, sql } = await startApp({
    worker: false,
    queues: [{ name: "limited", fair: true, concurrency: 1 }],
  })
  const jobs = [
    ...(await app.pushMany(
      work,
      range(20).map((n) => ({ key: "low", n })),
    )),
    ...(await app.pushMany(
      work,
      range(10).map((n) => ({ key: "high", n })),
      { priority: 5 },
    )),
  ]
  const done = ended(app, jobs)
  // Beginning to wait changes a job's row, and a claim passes over rows that are being changed.
  await until(async () => !(await sql("select 1 from $schema.jobs where not awaited")).length)
  await addWorker({ handlers: [work.handler(({ key }) => void order.push(key))] })
  await done
  expect(order.slice(0, 10)).toEqual(range(10).map(() => "high"))
})

const flaky = defineJob<{ key: string; n: number; fails?: number }>({
  name: "flaky",
  queue: "limited",
  limitKey: ({ key }) => key,
  maxAttempts: 2,
  backoff: { initial: "50ms", jitter: "none" },
})

const orderedApp = async (ordered: "retry" | "skip" | "stop") => {
  const order: string[] = []
  const handlers = [
    flaky.handler(({ key, n, fails = 0 }, job) => {
      order.push(`${key}${n}`)
      if (job.attempt <= fails) throw new Error("not yet")
    }),
  ]
  const started = await startApp({ queues: [{ name: "limited", ordered }], handlers })
  await started.addWorker({ handlers })
  return { ...started, order, of: (key: string) => order.filter((label) => label.startsWith(key)) }
}

test("ordered keys run in the order of their pushes; retry holds the key between attempts", async () => {
  const { app, of } = await orderedApp("retry")
  const jobs: Reference[] = []
  for (const n of range(12)) {
    for (const key of ["a", "b"]) jobs.push(await app.push(flaky, { key, n, fails: n === 3 ? 1 : n === 6 ? 2 : 0 }))
  }
  await ended(app, jobs)
  const expected = [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11]
  for (const key of ["a", "b"]) expect(of(key)).toEqual(expected.map((n) => `${key}${n}`))
})

test("skip lets the others go while a failed one waits", async () => {
  const { app, of } = await orderedApp("skip")
  const jobs = await app.pushMany(flaky, [
    { key: "a", n: 0, fails: 1 },
    { key: "a", n: 1 },
  ])
  await ended(app, jobs)
  expect(of("a")).toEqual(["a0", "a1", "a0"])
})

test("stop holds a key after a final failure until it is resumed, or its job is retried", async () => {
  const { app, of, order } = await orderedApp("stop")
  const stopped = await app.push(flaky, { key: "a", n: 0, fails: 9 })
  const behind = await app.push(flaky, { key: "a", n: 1 })
  await ended(app, [stopped])
  await ended(app, [await app.push(flaky, { key: "b", n: 0 })])
  expect(of("a")).toEqual(["a0", "a0"])
  expect(await app.stoppedKeys("limited")).toMatchObject([{ key: "a", job: stopped.id }])
  await app.resumeKey("limited", "a")
  await ended(app, [behind])
  expect(of("a")).toEqual(["a0", "a0", "a1"])
  expect(await app.stoppedKeys("limited")).toEqual([])

  const again = await app.push(flaky, { key: "c", n: 0, fails: 2 })
  const after = await app.push(flaky, { key: "c", n: 1 })
  await ended(app, [again])
  order.length = 0
  await again.retry()
  await until(async () => (await app.stoppedKeys("limited")).length === 1)
  await app.declareQueue({ name: "limited", ordered: "skip" }, { upsert: true })
  await ended(app, [after])
})

test("limits change while the queue runs", async () => {
  const open = deferred<void>()
  const seen = meter()
  const handlers = [work.handler(({ key }) => seen.run(key, key, () => open.promise))]
  const { app } = await startApp({ queues: [{ name: "limited", keyConcurrency: 1, pollInterval: "1h" }], handlers })
  const jobs = await app.pushMany(
    work,
    range(10).map((n) => ({ key: "a", n })),
  )
  await until(() => seen.running() === 1)
  await app.declareQueue({ name: "limited", keyConcurrency: 4, pollInterval: "1h" }, { upsert: true })
  await until(() => seen.running() === 4)
  open.resolve()
  await ended(app, jobs)
  expect(seen.most()).toBe(4)
})

test("a circuit breaker pauses the queue when too many fail, and it resumes by itself", async () => {
  const failing = defineJob<boolean>({ name: "failing", queue: "limited", maxAttempts: 1 })
  const { app } = await startApp({
    queues: [{ name: "limited", concurrency: 1, circuitBreaker: { failureRatio: 0.5, minimum: 6, pause: "1s" } }],
    handlers: [
      failing.handler((fails) => {
        if (fails) throw new Error("down")
      }),
    ],
  })
  const heard = app.hub.waitFor("queue.paused", { timeout: "20s" })
  const jobs = await app.pushMany(failing, [true, false, true, false, true, true, true, true, true, true, true, true])
  expect((await heard).body).toEqual({ queue: "limited" })
  const queue = (await app.queues()).find(({ name }) => name === "limited")
  expect(queue).toMatchObject({
    paused: true,
    pauseReason: expect.stringMatching(/^\d+ of the last \d+ attempts failed$/),
  })
  await ended(app, jobs)
})

test.each([
  [{ globalConcurrency: 0 }, /queue.globalConcurrency/],
  [{ keyConcurrency: -1 }, /queue.keyConcurrency/],
  [{ rateLimit: { per: "1m" } as never }, /queue.rateLimit.limit/],
  [{ rateLimit: { limit: 5 } as never }, /queue.rateLimit.per/],
  [{ rateLimit: { limit: 0, per: "1m" } }, /queue.rateLimit.limit/],
  [{ rate_limit_window: "1m" } as never, /A window belongs to its limit/],
  [{ ordered: "retry" as const, keyConcurrency: 2 }, /ordered means one job of a key at a time/],
  [{ globalConcurrency: 2, keyConcurrency: 3 }, /can never reach/],
  [{ fair: true, claimAhead: 5 }, /claimAhead must be 0/],
  [{ circuitBreaker: { failureRatio: 2 } }, /circuitBreaker.failureRatio/],
])("limits that make no sense are refused: %o", async (options, message) => {
  const { app } = await startApp({ worker: false })
  await expect(app.declareQueue({ name: "q", ...options })).rejects.toThrow(message)
})

test("a key that cannot be found is refused at the push", async () => {
  const { app } = await startApp({ worker: false })
  const throwing = defineJob<{ a?: string }>({
    name: "throwing",
    limitKey: () => {
      throw new Error("oh")
    },
  })
  const missing = defineJob<{ a?: string }>({ name: "missing", limitKey: "a" })
  await expect(app.push(throwing, {})).rejects.toMatchObject({
    code: "MILLRACE_BAD_KEY",
    message: /function of "throwing" threw/,
  })
  await expect(app.push(missing, {})).rejects.toMatchObject({
    code: "MILLRACE_BAD_KEY",
    message: /its "a" is undefined/,
  })
  expect(() => defineJob({ name: "x", limitKey: 5 as never })).toThrow(/limitKey/)
})
