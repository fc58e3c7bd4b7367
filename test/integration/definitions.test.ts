import { defineJob } from "millrace"
import { expect, test } from "vitest"
import { startApp } from "../support/start-app.ts"

const note = defineJob<unknown, unknown>({ name: "note" })

test("the options of a definition are the defaults of its pushes", async () => {
  const { app, sql } = await startApp({ worker: false })
  const full = defineJob<unknown>({
    name: "full",
    queue: "media",
    priority: 3,
    maxAttempts: 7,
    timeout: "30s",
    retention: { succeeded: "2h", failed: "3h" },
    tags: ["a", "b"],
    meta: { owner: "x" },
    uniqueKey: () => "only",
  })
  const job = await app.push(full, null)
  expect(await job.get()).toMatchObject({
    queue: "media",
    priority: 3,
    maxAttempts: 7,
    retention: { succeeded: 7_200, failed: 10_800 },
    tags: ["a", "b"],
    meta: { owner: "x" },
    uniqueKey: "only",
  })
  expect(await sql("select timeout_ms from $schema.jobs")).toEqual([{ timeout_ms: 30_000 }])
})

test("the options of a push replace those of its definition, one by one", async () => {
  const { app, sql } = await startApp({ worker: false })
  const full = defineJob<unknown>({
    name: "full",
    queue: "media",
    priority: 3,
    maxAttempts: 7,
    timeout: "30s",
    retention: "2h",
    tags: ["a"],
    meta: { owner: "x" },
    backoff: { initial: "10s" },
    uniqueKey: () => "only",
  })
  const job = await app.push(full, null, {
    queue: "other",
    priority: -2,
    maxAttempts: 1,
    timeout: 50,
    retention: "forever",
    tags: [],
    meta: { else: true },
    backoff: { initial: "1m" },
    uniqueKey: "mine",
  })
  expect(await job.get()).toMatchObject({
    queue: "other",
    priority: -2,
    maxAttempts: 1,
    retention: { succeeded: -1, failed: -1 },
    tags: [],
    meta: { else: true },
    uniqueKey: "mine",
  })
  const [row] = await sql("select timeout_ms, options -> 'backoff' -> 'initial' as initial from $schema.jobs")
  expect(row).toEqual({ timeout_ms: 50, initial: 60_000 })
  const kept = await app.push(full, null, { priority: 0 })
  expect(await kept.get()).toMatchObject({ queue: "media", priority: 0, maxAttempts: 7, meta: { owner: "x" } })
})

test("a retention that no partition covers yet is given one", async () => {
  const { app, sql } = await startApp({ handlers: [note.handler(() => 1)] })
  const job = await app.push(note, null, { retention: "100d" })
  expect(await job.result()).toBe(1)
  const [row] = await sql(
    "select keep_until - finished_at >= interval '100 days' as long_enough from $schema.jobs_history",
  )
  expect(row).toEqual({ long_enough: true })
})

test("a payload comes back as it was, whatever JSON it is", async () => {
  const { app } = await startApp({ handlers: [note.handler((payload) => ({ payload }))] })
  const values = [
    null,
    false,
    0,
    -1.5e300,
    "",
    "\u2028 \\u0000 🦉",
    [],
    [[]],
    {},
    { "": { "a b": [null] } },
    { __proto__: 1 },
  ]
  for (const value of values) {
    expect(await (await app.push(note, value)).result()).toEqual({ payload: value })
  }
})
