import { defineJob } from "millrace"
import pg from "pg"
import { expect, test } from "vitest"
import { deferred } from "../../src/lib/deferred.ts"
import { startApp, until } from "../support/start-app.ts"
import { range } from "../support/worker-fixture.ts"

/* What makes a push a duplicate: keys that outlive their job, or end with its start; debounce and throttle. */

const mail = defineJob<{ to: string; n?: number }>({ name: "mail", queue: "mail" })

const gated = () => {
  const open = deferred<void>()
  const ran: { to: string; n?: number }[] = []
  const handler = mail.handler(async (payload) => {
    ran.push(payload)
    await open.promise
  })
  return { open, ran, handler }
}

test("a key with a period stays taken after the finish, until the period is over", async () => {
  const { app } = await startApp({ queues: [{ name: "mail" }], handlers: [mail.handler(() => "sent")] })
  const uniqueKey = { key: "a", period: "700ms" }
  const first = await app.push(mail, { to: "a" }, { uniqueKey })
  expect(first.duplicate).toBe(false)
  expect(await app.push(mail, { to: "a" }, { uniqueKey })).toMatchObject({ id: first.id, duplicate: true })
  await first.result({ timeout: "20s" })
  const second = await app.push(mail, { to: "a" }, { uniqueKey })
  expect(second).toMatchObject({ id: first.id, duplicate: true })
  expect((await first.get())!.uniqueKey).toBe("a")
  await until(async () => !(await app.push(mail, { to: "a" }, { uniqueKey })).duplicate)
  const record = (await first.get())!
  const later = (await app.find({ name: "mail" })).jobs.find((job) => job.id !== first.id)!
  expect(later.createdAt.getTime() - record.finishedAt!.getTime()).toBeGreaterThanOrEqual(700)
})

test("a job that is cancelled before it started frees its key at once, period or not", async () => {
  const { app } = await startApp({ worker: false })
  for (const uniqueKey of [
    { key: "a", period: "1h" },
    { key: "b", while: "waiting" as const },
  ]) {
    const first = await app.push(mail, { to: "x" }, { uniqueKey })
    await first.cancel()
    expect((await app.push(mail, { to: "x" }, { uniqueKey })).duplicate).toBe(false)
  }
  const throttle = { key: "c", period: "1h" }
  const first = await app.push(mail, { to: "x" }, { throttle })
  await app.deleteAll({ id: first.id })
  expect((await app.push(mail, { to: "x" }, { throttle })).duplicate).toBe(false)
})

test("while waiting: the key is free once its job has started", async () => {
  const { open, ran, handler } = gated()
  const { app, addWorker } = await startApp({ worker: false, queues: [{ name: "mail" }] })
  const uniqueKey = { key: "a", while: "waiting" as const }
  const first = await app.push(mail, { to: "1" }, { uniqueKey })
  expect(await app.push(mail, { to: "2" }, { uniqueKey })).toMatchObject({ id: first.id, duplicate: true })
  await addWorker({ handlers: [handler] })
  await until(() => ran.length === 1)
  const second = await app.push(mail, { to: "3" }, { uniqueKey })
  expect(second.duplicate).toBe(false)
  open.resolve()
  await app.wait([first, second], { timeout: "20s" })
  expect(ran.map(({ to }) => to)).toEqual(["1", "3"])
})

test("replace gives the waiting job the new payload and options; a running one stays as it is", async () => {
  const { open, ran, handler } = gated()
  const { app, addWorker } = await startApp({ worker: false, queues: [{ name: "mail" }] })
  const uniqueKey = { key: "a", onConflict: "replace" as const }
  const first = await app.push(mail, { to: "1" }, { uniqueKey, delay: "1h" })
  const again = await app.push(mail, { to: "2" }, { uniqueKey, priority: 7, maxAttempts: 2, delay: "30m", tags: ["t"] })
  expect(again).toMatchObject({ id: first.id, duplicate: true })
  expect(await first.get()).toMatchObject({
    payload: { to: "2" },
    priority: 7,
    maxAttempts: 2,
    tags: ["t"],
    state: "scheduled",
  })
  await app.push(mail, { to: "3" }, { uniqueKey, runAt: new Date(0) })
  await addWorker({ handlers: [handler] })
  await until(() => ran.length === 1)
  await app.push(mail, { to: "4" }, { uniqueKey })
  expect((await first.get())!.payload).toEqual({ to: "3" })
  open.resolve()
  await first.result({ timeout: "20s" })
  expect(ran).toEqual([{ to: "3" }])
})

test("replace without a time leaves the time as it is; extend without one changes nothing", async () => {
  const { app } = await startApp({ worker: false })
  const replace = { key: "a", onConflict: "replace" as const }
  const job = await app.push(mail, { to: "1" }, { uniqueKey: replace, delay: "1h" })
  const { runAt } = (await job.get())!
  expect((await app.push(mail, { to: "2" }, { uniqueKey: replace, priority: 3 })).duplicate).toBe(true)
  expect(await job.get()).toMatchObject({ payload: { to: "2" }, priority: 3, state: "scheduled", runAt })
  await app.push(mail, { to: "3" }, { uniqueKey: { key: "a", onConflict: "extend" } })
  expect(await job.get()).toMatchObject({ payload: { to: "2" }, priority: 3, runAt })
})

test("extend puts the waiting job off and leaves what it is about", async () => {
  const { app } = await startApp({ worker: false })
  const uniqueKey = { key: "a", onConflict: "extend" as const }
  const first = await app.push(mail, { to: "1" }, { uniqueKey, delay: "1h" })
  const before = (await first.get())!
  await app.push(mail, { to: "2" }, { uniqueKey, delay: "2h" })
  const after = (await first.get())!
  expect(after.payload).toEqual({ to: "1" })
  expect(after.runAt.getTime() - before.runAt.getTime()).toBeGreaterThanOrEqual(3_600_000)
})

test("debounced pushes are one job with the last payload; maxWait ends the putting off", async () => {
  const { app } = await startApp({ queues: [{ name: "mail" }], handlers: [mail.handler(({ n }) => n)] })
  const debounce = { key: "a", wait: "400ms", maxWait: "10s" }
  const pushed = []
  for (const n of range(5)) pushed.push(await app.push(mail, { to: "a", n }, { debounce }))
  expect(new Set(pushed.map(({ id }) => id)).size).toBe(1)
  expect(await pushed[0]!.result({ timeout: "20s" })).toBe(4)
  const record = (await pushed[0]!.get())!
  expect(record.startedAt!.getTime() - record.createdAt.getTime()).toBeGreaterThanOrEqual(400)
})

test("a debounced job starts at the latest maxWait after its first push", async () => {
  const { app, sql } = await startApp({ worker: false })
  const debounce = { key: "b", wait: "1h", maxWait: "90m" }
  const job = await app.push(mail, { to: "b" }, { debounce })
  // As if pushes had gone on for 80 minutes.
  await sql("update $schema.jobs set created_at = created_at - interval '80 minutes'")
  await app.push(mail, { to: "b", n: 2 }, { debounce })
  const { runAt, createdAt, payload } = (await job.get())!
  expect(runAt.getTime() - createdAt.getTime()).toBe(90 * 60_000)
  expect(payload).toEqual({ to: "b", n: 2 })
})

test("a throttle starts one job of a key per period, and drops the others", async () => {
  const throttled = defineJob<{ to: string }>({
    name: "throttled",
    queue: "mail",
    throttle: { key: ({ to }) => to, period: "600ms" },
  })
  const { app } = await startApp({
    queues: [{ name: "mail" }],
    handlers: [throttled.handler(() => undefined)],
  })
  const first = await app.push(throttled, { to: "a" })
  const dropped = await Promise.all(range(20).map(() => app.push(throttled, { to: "a" })))
  expect(dropped.every(({ id, duplicate }) => duplicate && id === first.id)).toBe(true)
  expect((await app.push(throttled, { to: "b" })).duplicate).toBe(false)
  await first.result({ timeout: "20s" })
  expect((await app.push(throttled, { to: "a" })).duplicate).toBe(true)
  let second = first
  await until(async () => (second = await app.push(throttled, { to: "a" })).id !== first.id)
  await second.result({ timeout: "20s" })
  const gap = (await second.get())!.startedAt!.getTime() - (await first.get())!.startedAt!.getTime()
  expect(gap).toBeGreaterThanOrEqual(590)
})

test.each(["plain", "period", "waiting", "throttle", "replace"] as const)(
  "50 writers of 5 keys, half of which roll back, never double a key, and deadlock with nothing (%s)",
  async (kind) => {
    const { app, url, sql } = await startApp({ queues: [{ name: "mail" }], handlers: [mail.handler(() => undefined)] })
    const options = (key: string) =>
      kind === "throttle"
        ? { throttle: { key, period: "1h" } }
        : {
            uniqueKey: {
              key,
              ...(kind === "period" && { period: "1h" }),
              ...(kind === "waiting" && { while: "waiting" as const }),
              ...(kind === "replace" && { onConflict: "replace" as const, period: "1h" }),
            },
          }
    const pool = new pg.Pool({ connectionString: url, max: 10 })
    const ids = new Map<string, Set<string>>()
    try {
      await Promise.all(
        range(50).map(async (writer) => {
          const keys = range(5).map((n) => `k${(n + writer) % 5}`)
          for (const key of keys) {
            const client = await pool.connect()
            try {
              await client.query("begin")
              const job = await app.push(mail, { to: key, n: writer }, { ...options(key), tx: client })
              await client.query(writer % 2 === 0 ? "commit" : "rollback")
              if (writer % 2 === 0) ids.set(key, (ids.get(key) ?? new Set()).add(job.id))
            } finally {
              client.release()
            }
          }
        }),
      )
    } finally {
      await pool.end()
    }
    await until(async () => (await sql("select from $schema.jobs")).length === 0)
    const stored = await sql<{ key: string; n: number }>(
      "select payload->>'to' as key, count(*)::integer as n from $schema.jobs_history group by 1 order by 1",
    )
    expect(stored.map(({ key }) => key)).toEqual(["k0", "k1", "k2", "k3", "k4"])
    // A key that outlives its job is held by one job for all.
    if (kind === "period" || kind === "throttle" || kind === "replace")
      expect(stored.map(({ n }) => n)).toEqual([1, 1, 1, 1, 1])
    const [{ known }] = (await sql<{ known: boolean }>(
      "select bool_and(id = any($1::uuid[])) as known from $schema.jobs_history",
      [[...ids.values()].flatMap((one) => [...one])],
    )) as [{ known: boolean }]
    expect(known).toBe(true)
  },
)

test.each([
  [{ uniqueKey: { key: "a", while: "ever" } }, /uniqueKey.while/],
  [{ uniqueKey: { key: "a", period: "1h", while: "waiting" } }, /period begins with the finish/],
  [{ uniqueKey: { key: "a", perio: "1h" } }, /no option "perio"/],
  [{ uniqueKey: { key: "a", period: 0 } }, /uniqueKey.period/],
  [{ debounce: { key: "a", wait: "10s", maxWait: "1s" } }, /maxWait .* is shorter/],
  [{ debounce: { key: "a", wait: "10s" }, delay: "1s" }, /leave out runAt and delay/],
  [{ debounce: { key: "a", wait: "10s" }, uniqueKey: "b" }, /exclude each other/],
  [{ throttle: { key: "", period: "1s" } }, /throttle key must be 1 to 500/],
  [{ throttle: { key: "a" } }, /throttle.period/],
  [{ limitKey: "" }, /limitKey/],
])("keys that make no sense are refused: %o", async (options, message) => {
  const { app } = await startApp({ worker: false })
  await expect(app.push(mail, { to: "a" }, options as never)).rejects.toThrow(message)
})
