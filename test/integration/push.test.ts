import { randomUUID } from "node:crypto"
import { defineJob, type Millrace, type PushOptions, type RetentionInput } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, waitedFor, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await app.declareQueue({ name: "default", tags: [] }) // no worker runs it: its jobs stay as they were pushed
})
afterAll(() => own.close())

const echo = defineJob<unknown, unknown>({ name: "echo" })

interface Row {
  state: string
  keep_s: number
  keep_failed_s: number
  /** Seconds after its creation. */
  run_in: number
}

async function row(id: string): Promise<Row | undefined> {
  const { rows } = await own.pool.query(
    `select state, keep_s, keep_failed_s, extract(epoch from run_at - created_at)::float8 as run_in from millrace.jobs where id = $1`,
    [id],
  )
  return rows[0]
}

/** A queue of its own with one slot, and a worker on a tag of its own that runs only it. */
async function oneAtATime(name: string, run: (payload: unknown) => unknown): Promise<{ start(): Promise<unknown> }> {
  await app.declareQueue({ name, concurrency: 1, tags: [`only=${name}`] })
  return { start: () => own.worker(app, { tags: [`only=${name}`], handlers: [echo.handler(async (p) => run(p))] }) }
}

test("a job without options waits in the queue default with five attempts and priority 0", async () => {
  const job = await app.push(echo, { a: 1 })
  expect(job.queue).toBe("default")
  expect(job.duplicate).toBe(false)
  expect(await job.get()).toMatchObject({
    id: job.id,
    name: "echo",
    queue: "default",
    state: "pending",
    priority: 0,
    payload: { a: 1 },
    result: undefined,
    errors: [],
    attempts: 0,
    crashes: 0,
    claims: 0,
    maxAttempts: 5,
    worker: undefined,
    startedAt: undefined,
    finishedAt: undefined,
    expiresAt: undefined,
    retention: { succeeded: 86_400, failed: 86_400 },
    progress: undefined,
    meta: {},
    tags: [],
    uniqueKey: undefined,
    cancel: undefined,
  })
})

test("the queue of a push goes before the definition's", async () => {
  const media = defineJob({ name: "in-media", queue: "media" })
  expect((await app.push(media, null)).queue).toBe("media")
  const elsewhere = await app.push(media, null, { queue: "elsewhere" })
  expect(elsewhere.queue).toBe("elsewhere")
  expect((await elsewhere.get())?.queue).toBe("elsewhere")
})

test("at one slot, higher priorities run first, negative ones last, and equals in the order of their pushes", async () => {
  const ran: unknown[] = []
  const queue = await oneAtATime("by-priority", (payload) => ran.push(payload))
  const pushed: { id: string }[] = []
  for (const [payload, priority] of [
    ["low", -5],
    ["first of 0", undefined],
    ["high", 10],
    ["second of 0", 0],
    ["highest", 1_000_000],
    ["lowest", -1_000_000],
    ["second high", 10],
  ] as const) {
    pushed.push(await app.push(echo, payload, { queue: "by-priority", priority }))
  }
  const done = app.wait(
    pushed.map((one) => app.job(one.id)),
    { timeout: "20s" },
  )
  await waitedFor(own.pool, "by-priority")
  await queue.start()
  await done
  expect(ran).toEqual(["highest", "high", "second high", "first of 0", "second of 0", "low", "lowest"])
})

test("at one slot, jobs run in the order of their pushes, however they were pushed", async () => {
  const ran: unknown[] = []
  const queue = await oneAtATime("in-order", (payload) => ran.push(payload))
  const options = { queue: "in-order" }
  const together = await Promise.all(Array.from({ length: 30 }, (_, n) => app.push(echo, n, options)))
  const many = await app.pushMany(echo, [30, 31, 32, 33], options)
  const last = await app.push(echo, 34, options)
  const done = app.wait([...together, ...many, last], { timeout: "20s" })
  await waitedFor(own.pool, "in-order")
  await queue.start()
  await done
  expect(ran).toEqual(Array.from({ length: 35 }, (_, n) => n))
})

test.each<[string, PushOptions, number]>([
  ["delay in milliseconds", { delay: 90_000 }, 90],
  ["delay as text", { delay: "1h30m" }, 5_400],
  ['runAt "in 10m"', { runAt: "in 10m" }, 600],
])("%s counts from the database's now", async (_, options, seconds) => {
  const job = await app.push(echo, null, options)
  expect(await row(job.id)).toMatchObject({ state: "scheduled", run_in: seconds })
})

test("runAt takes a Date, to the millisecond, and is scheduled only when it lies ahead", async () => {
  const ahead = new Date(Date.UTC(2199, 4, 6, 7, 8, 9, 123))
  const past = new Date(Date.UTC(2001, 0, 1))
  const later = await app.push(echo, null, { runAt: ahead })
  const now = await app.push(echo, null, { runAt: past })
  expect(await later.get()).toMatchObject({ state: "scheduled", runAt: ahead })
  expect(await now.get()).toMatchObject({ state: "pending", runAt: past })
})

test("a delay of 0 is ready at once", async () => {
  expect(await (await app.push(echo, null, { delay: 0 })).get()).toMatchObject({ state: "pending" })
})

test("a delayed job runs by itself, not before its time", async () => {
  const queue = await oneAtATime("delayed", () => "ran")
  await queue.start()
  const job = await app.push(echo, null, { queue: "delayed", delay: "300ms" })
  expect(await job.result({ timeout: "20s" })).toBe("ran")
  const { startedAt, runAt, createdAt } = (await job.get())!
  expect(runAt.getTime() - createdAt.getTime()).toBe(300)
  expect(startedAt!.getTime()).toBeGreaterThanOrEqual(runAt.getTime())
})

test("a job that has not started by expiresAt never runs, and says so", async () => {
  let runs = 0
  const queue = await oneAtATime("expiring", () => (runs += 1))
  const byDate = await app.push(echo, null, { queue: "expiring", expiresAt: new Date(Date.UTC(2001, 0, 1)) })
  const byText = await app.push(echo, null, { queue: "expiring", expiresAt: "in 1ms" })
  const inTime = await app.push(echo, null, { queue: "expiring", expiresAt: "in 1h" })
  await until(async () => (await byText.get())!.expiresAt!.getTime() < Date.now() - 50, "the expiry has come")
  await queue.start()
  expect(await inTime.result({ timeout: "20s" })).toBe(1)
  for (const job of [byDate, byText]) {
    expect(await rejection(job.result({ timeout: "20s" }))).toMatchObject({ code: "MILLRACE_CANCELLED" })
    const record = (await job.get())!
    expect(record.state).toBe("cancelled")
    expect(record.errors.at(-1)?.code).toBe("MILLRACE_EXPIRED")
  }
  expect(runs).toBe(1)
})

test("a job that was tried maxAttempts times fails for good", async () => {
  const fragile = defineJob({ name: "fragile", queue: "fragile", backoff: { initial: 1, max: 1 } })
  const attempts = new Map<string, number[]>()
  await app.declareQueue({ name: "fragile", tags: ["only=fragile"] })
  await own.worker(app, {
    tags: ["only=fragile"],
    handlers: [
      fragile.handler((_, { id, attempt, maxAttempts }) => {
        attempts.set(id, [...(attempts.get(id) ?? []), attempt])
        throw new Error(`${attempt} of ${maxAttempts}`)
      }),
    ],
  })
  const [five, two, one] = await Promise.all([
    app.push(fragile, null),
    app.push(fragile, null, { maxAttempts: 2 }),
    app.push(fragile, null, { maxAttempts: 1 }),
  ])
  const records = await app.wait([five, two, one], { timeout: "25s" })
  expect(records.map(({ state, attempts: n, errors }) => [state, n, errors.map((e) => e.message)])).toEqual([
    ["failed", 5, ["1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5"]],
    ["failed", 2, ["1 of 2", "2 of 2"]],
    ["failed", 1, ["1 of 1"]],
  ])
  expect(attempts.get(five.id)).toEqual([1, 2, 3, 4, 5])
})

const day = 86_400

test.each<[string, RetentionInput, { keep_s: number; keep_failed_s: number }]>([
  ["a duration", "3d", { keep_s: 3 * day, keep_failed_s: 3 * day }],
  ["milliseconds, rounded up to a second", 1_500, { keep_s: 2, keep_failed_s: 2 }],
  ["none", "none", { keep_s: 0, keep_failed_s: 0 }],
  ["forever", "forever", { keep_s: -1, keep_failed_s: -1 }],
  ["both apart", { succeeded: "1h", failed: "forever" }, { keep_s: 3_600, keep_failed_s: -1 }],
  ["one of both, the other a day", { failed: "7d" }, { keep_s: day, keep_failed_s: 7 * day }],
])("retention takes %s", async (_, retention, stored) => {
  expect(await row((await app.push(echo, null, { retention, delay: "1h" })).id)).toMatchObject(stored)
})

test("what a definition says of retention holds unless the push says otherwise", async () => {
  const kept = defineJob({ name: "kept", retention: { succeeded: "2d", failed: "forever" } })
  expect(await row((await app.push(kept, null)).id)).toMatchObject({ keep_s: 2 * day, keep_failed_s: -1 })
  const other = await app.push(kept, null, { retention: "1h" })
  expect(await row(other.id)).toMatchObject({ keep_s: 3_600, keep_failed_s: 3_600 })
})

test("the history keeps a job as long as its retention says for how it ended, long times rounded up", async () => {
  const fate = defineJob<"succeed" | "fail">({ name: "fate", queue: "fate", maxAttempts: 1 })
  await app.declareQueue({ name: "fate", tags: ["only=fate"] })
  await own.worker(app, {
    tags: ["only=fate"],
    handlers: [
      fate.handler((how) => {
        if (how === "fail") throw new Error("as told")
      }),
    ],
  })
  const apart = { succeeded: "1h", failed: "7d" }
  const jobs = {
    hour: await app.push(fate, "succeed", { retention: apart }),
    week: await app.push(fate, "fail", { retention: apart }),
    twoWeeks: await app.push(fate, "succeed", { retention: "2w" }),
    month: await app.push(fate, "succeed", { retention: "30d" }),
    year: await app.push(fate, "succeed", { retention: "365d" }),
    forever: await app.push(fate, "succeed", { retention: "forever" }),
    failedForever: await app.push(fate, "fail", { retention: { failed: "forever" } }),
  }
  await app.wait(Object.values(jobs), { timeout: "25s" })
  const { rows } = await own.pool.query(
    `select id, case when keep_until < 'infinity' then extract(epoch from keep_until)::float8 end as until,
       extract(epoch from finished_at)::float8 as finished from millrace.jobs_history where id = any($1)`,
    [Object.values(jobs).map((job) => job.id)],
  )
  const found = rows as { id: string; until: number | null; finished: number }[]
  const of = ({ id }: { id: string }) => found.find((one) => one.id === id)!
  const kept = (job: { id: string }) => of(job).until! - of(job).finished
  expect(kept(jobs.hour)).toBeCloseTo(3_600, 3)
  expect(kept(jobs.week)).toBeCloseTo(7 * day, 3)
  expect(kept(jobs.twoWeeks)).toBeCloseTo(14 * day, 3)
  expect(kept(jobs.month)).toBeGreaterThanOrEqual(30 * day)
  expect(kept(jobs.month)).toBeLessThan(37 * day)
  expect(of(jobs.month).until! % (7 * day)).toBe(0)
  expect(kept(jobs.year)).toBeGreaterThanOrEqual(365 * day)
  expect(kept(jobs.year)).toBeLessThan((365 + 28) * day)
  expect(of(jobs.year).until! % (28 * day)).toBe(0)
  expect(of(jobs.forever).until).toBeNull()
  expect(of(jobs.failedForever).until).toBeNull()
})

test('with retention "none" a job leaves nothing when it finishes', async () => {
  const ran = gate()
  const queue = await oneAtATime("traceless", () => ran.open())
  await queue.start()
  const job = await app.push(echo, null, { queue: "traceless", retention: "none" })
  await ran.opened
  await until(async () => (await job.get()) === undefined, "the job is gone")
  const { rows } = await own.pool.query("select 1 from millrace.all_jobs where id = $1", [job.id])
  expect(rows).toEqual([])
})

test("tags and meta are stored, reach the handler, and stay in the history", async () => {
  let seen: unknown
  const labelled = defineJob({ name: "labelled", queue: "labelled", tags: ["of the definition"], meta: { from: "it" } })
  await app.declareQueue({ name: "labelled", tags: ["only=labelled"] })
  await own.worker(app, {
    tags: ["only=labelled"],
    handlers: [labelled.handler((_, { tags, meta }) => void (seen = { tags, meta: { ...meta } }))],
  })
  const given = { tags: ["a b", 'quote " and \\', "ünïcode", "{,}", "NULL"], meta: { deep: [{ er: null }], n: 1.5 } }
  const job = await app.push(labelled, null, given)
  await job.result({ timeout: "20s" })
  expect(seen).toEqual(given)
  expect(await job.get()).toMatchObject({ ...given, state: "succeeded" })
  const plain = await app.push(labelled, null)
  await plain.result({ timeout: "20s" })
  expect(seen).toEqual({ tags: ["of the definition"], meta: { from: "it" } })
})

test("a push that is sent again with its id is the same push, also after the job has finished", async () => {
  let runs = 0
  const queue = await oneAtATime("again", () => (runs += 1))
  const id = randomUUID()
  const first = await app.push(echo, "first", { id, queue: "again" })
  const second = await app.push(echo, "second", { id: id.toUpperCase(), queue: "again" })
  expect([first.id, second.id]).toEqual([id, id])
  await queue.start()
  expect(await second.result({ timeout: "20s" })).toBe(1)
  const third = await app.push(echo, "third", { id, queue: "again" })
  expect(await third.get()).toMatchObject({ state: "succeeded", payload: "first", result: 1 })
  const witness = await app.push(echo, "witness", { queue: "again" })
  expect(await witness.result({ timeout: "20s" })).toBe(2)
})

test("an id with a unique key is the same push as well", async () => {
  const id = randomUUID()
  const options = { id, uniqueKey: "with an id" }
  const first = await app.push(echo, 1, options)
  const second = await app.push(echo, 2, options)
  expect([first.id, first.duplicate, second.id, second.duplicate]).toEqual([id, false, id, false])
  const other = await app.push(echo, 3, { ...options, id: randomUUID() })
  expect([other.id, other.duplicate]).toEqual([id, true])
})

test("wake false sends no notification, a push without it sends one about its queue", async () => {
  const listener = await own.pool.connect()
  const heard: string[] = []
  const hear = (message: { payload?: string | undefined }) => void heard.push(message.payload ?? "")
  listener.on("notification", hear)
  try {
    await listener.query("listen millrace_events")
    await app.push(echo, null, { queue: "asleep", wake: false })
    await app.pushMany(echo, [1, 2], { queue: "asleep", wake: false })
    await app.push(echo, null, { queue: "awake" })
    await until(() => heard.some((payload) => payload.includes("awake")), "the wake-up arrives")
    expect(heard.filter((payload) => payload.includes("asleep"))).toEqual([])
  } finally {
    await listener.query("unlisten *")
    listener.off("notification", hear)
    listener.release()
  }
})

test("a job that woke nobody runs all the same", async () => {
  const queue = await oneAtATime("unwoken", () => "polled")
  await queue.start()
  const job = await app.push(echo, null, { queue: "unwoken", wake: false })
  expect(await job.result({ timeout: "20s" })).toBe("polled")
})

test("a payload that is left out arrives as null", async () => {
  const job = await app.push(echo)
  expect((await job.get())?.payload).toBeNull()
})
