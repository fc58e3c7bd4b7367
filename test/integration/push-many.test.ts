import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { z } from "zod"
import { fixture, rejection, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const item = defineJob<number>({ name: "item" })
const numbered = defineJob({ name: "numbered", payload: z.object({ n: z.number().int() }) })

async function payloadsIn(queue: string): Promise<unknown[]> {
  const { rows } = await own.pool.query("select payload from millrace.jobs where queue = $1 order by id", [queue])
  return rows.map((row: { payload: unknown }) => row.payload)
}

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

test("an array is pushed, one reference per payload, in its order", async () => {
  const jobs = await app.pushMany(item, [3, 1, 2], { queue: "array" })
  expect(jobs.map(({ queue, duplicate }) => `${queue} ${duplicate}`)).toEqual(Array(3).fill("array false"))
  const records = await Promise.all(jobs.map((job) => job.get()))
  expect(records.map((record) => record?.payload)).toEqual([3, 1, 2])
  expect(await payloadsIn("array")).toEqual([3, 1, 2])
})

test("any iterable is pushed", async () => {
  function* some() {
    yield* [1, 2, 3]
  }
  expect(await app.pushMany(item, some(), { queue: "iterable" })).toHaveLength(3)
  expect(await app.pushMany(item, new Set([4, 5]), { queue: "iterable" })).toHaveLength(2)
  expect(await payloadsIn("iterable")).toEqual([1, 2, 3, 4, 5])
})

test("an async iterable is pushed, and read no further ahead than one statement", async () => {
  let given = 0
  let storedAt: unknown[] = []
  async function* some() {
    for (const n of upTo(1_500)) {
      if (n === 1_001) storedAt = await payloadsIn("async")
      given += 1
      yield n
    }
  }
  const jobs = await app.pushMany(item, some(), { queue: "async" })
  expect(given).toBe(1_500)
  expect(storedAt).toEqual(upTo(1_000))
  expect(jobs).toHaveLength(1_500)
  expect(await payloadsIn("async")).toEqual(upTo(1_500))
})

test("nothing to push is no statement and no reference", async () => {
  expect(await app.pushMany(item, [])).toEqual([])
})

test("2,500 jobs are stored in order, each once", async () => {
  const jobs = await app.pushMany(item, upTo(2_500), { queue: "large" })
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(2_500)
  expect(await payloadsIn("large")).toEqual(upTo(2_500))
  expect((await jobs[2_499]!.get())?.payload).toBe(2_499)
})

test("2,500 jobs run, each once", async () => {
  const ran: number[] = []
  await own.worker(app, {
    handlers: [item.batch({ size: 500 }, (jobs) => void ran.push(...jobs.map((j) => j.payload)))],
  })
  await app.declareQueue("to-run")
  const jobs = await app.pushMany(item, upTo(2_500), { queue: "to-run" })
  const records = await app.wait(jobs, { timeout: "25s" })
  expect(records.every(({ state, claims }) => state === "succeeded" && claims === 1)).toBe(true)
  const mine = new Set(ran)
  expect(upTo(2_500).filter((n) => !mine.has(n))).toEqual([])
})

test("a payload that its schema refuses is named, and nothing of its statement is stored", async () => {
  const error = await rejection(app.pushMany(numbered, [{ n: 1 }, { n: 1.5 }, { n: 2 }], { queue: "refused" }))
  expect(error).toMatchObject({ code: "MILLRACE_BAD_PAYLOAD" })
  expect(error.message).toMatch(/"numbered".*n: /)
  expect(await payloadsIn("refused")).toEqual([])
})

test("statements before the one that failed stay", async () => {
  const payloads = upTo(1_200).map((n) => ({ n: n === 1_100 ? 0.5 : n }))
  expect(await rejection(app.pushMany(numbered, payloads, { queue: "halfway" }))).toMatchObject({
    code: "MILLRACE_BAD_PAYLOAD",
  })
  expect(await payloadsIn("halfway")).toEqual(upTo(1_000).map((n) => ({ n })))
})

test("an iterable that throws has pushed the statements before, and its error comes through", async () => {
  const broken = new Error("the source ran dry")
  function* some() {
    yield* upTo(1_001)
    throw broken
  }
  expect(await rejection(app.pushMany(item, some(), { queue: "thrown" }))).toBe(broken)
  expect(await payloadsIn("thrown")).toHaveLength(1_000)
})

test("an asynchronous schema checks every payload", async () => {
  const slow = defineJob({
    name: "checked-slowly",
    payload: z.number().refine(async (n) => Promise.resolve(n < 3), "must be below 3"),
  })
  expect(await app.pushMany(slow, [1, 2], { queue: "slowly" })).toHaveLength(2)
  const error = await rejection(app.pushMany(slow, [1, 3], { queue: "slowly" }))
  expect(error).toMatchObject({ code: "MILLRACE_BAD_PAYLOAD" })
  expect(error.message).toContain("must be below 3")
  expect(await payloadsIn("slowly")).toEqual([1, 2])
})

test("options hold for every job", async () => {
  const options = {
    queue: "with options",
    priority: 7,
    delay: "1h",
    maxAttempts: 2,
    retention: "3d",
    tags: ["import"],
    meta: { by: "test" },
  }
  const jobs = await app.pushMany(item, [1, 2, 3], { ...options, queue: "with-options" })
  for (const job of jobs) {
    expect(await job.get()).toMatchObject({
      queue: "with-options",
      state: "scheduled",
      priority: 7,
      maxAttempts: 2,
      retention: { succeeded: 259_200, failed: 259_200 },
      tags: ["import"],
      meta: { by: "test" },
    })
  }
})

test("a definition's unique key holds within one call: the later ones are duplicates of the first", async () => {
  const unique = defineJob<string>({ name: "unique", queue: "unique", uniqueKey: (payload) => payload })
  const [a, b, again, c] = await app.pushMany(unique, ["a", "b", "a", "c"])
  expect([a, b, again, c].map((job) => job!.duplicate)).toEqual([false, false, true, false])
  expect(again!.id).toBe(a!.id)
  expect(await payloadsIn("unique")).toEqual(["a", "b", "c"])
})

test("jobs with and without a key mix, and the references keep the payloads' order", async () => {
  const some = defineJob<number>({ name: "some", queue: "some", uniqueKey: (n) => (n % 2 ? `odd ${n}` : undefined) })
  const jobs = await app.pushMany(some, [4, 1, 2, 3, 1])
  const records = await Promise.all(jobs.map((job) => job.get()))
  expect(records.map((record) => record?.payload)).toEqual([4, 1, 2, 3, 1])
  expect(jobs.map(({ duplicate }) => duplicate)).toEqual([false, false, false, false, true])
})

test("many payloads in a caller's transaction are there when it commits", async () => {
  const client = await own.pool.connect()
  try {
    await client.query("begin")
    await app.pushMany(item, upTo(1_100), { queue: "in-tx", tx: client })
    expect(await payloadsIn("in-tx")).toEqual([])
    await client.query("commit")
    expect(await payloadsIn("in-tx")).toEqual(upTo(1_100))
  } finally {
    client.release()
  }
})

test("large payloads are split over several statements", async () => {
  const big = "x".repeat(200_000)
  const text = defineJob<string>({ name: "text", queue: "big" })
  await app.pushMany(text, Array(60).fill(big) as string[])
  const { rows } = await own.pool.query(
    "select count(*)::int as jobs, count(distinct ready_at)::int as statements, sum(length(payload #>> '{}'))::int as length from millrace.jobs where queue = 'big'",
  )
  expect(rows[0]).toEqual({ jobs: 60, statements: 2, length: 12_000_000 })
})
