import { defineJob, Millrace } from "millrace"
import pg from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
let counting: pg.Pool
/** The texts of all statements that the app has sent. */
let statements: string[] = []
/** Inserts wait for it. */
let barrier: Promise<void> | undefined

/** Whatever the function is called that stores jobs. */
const isInsert = (text: string): boolean => /"push\w*"\(/.test(text)

/** A client that keeps count of the statements. */
class CountingClient extends pg.Client {
  override query(...given: never[]): never {
    const [config] = given as unknown as [{ text?: string } | string]
    const text = typeof config === "string" ? config : (config.text ?? "")
    statements.push(text)
    const send = super.query as (...all: never[]) => unknown
    if (!barrier || !isInsert(text)) return send.apply(this, given) as never
    return barrier.then(() => send.apply(this, given)) as never
  }
}

beforeAll(async () => {
  own = await fixture()
  counting = new pg.Pool({ connectionString: own.url, max: 10, Client: CountingClient })
  counting.on("error", () => {})
  app = await own.app({ pool: counting })
  await own.pool.query(
    "alter table millrace.jobs add constraint no_unlucky check (payload ->> 'n' is null or (payload ->> 'n')::int <> 13)",
  )
})
afterAll(async () => {
  await app.close()
  await counting.end()
  await own.close()
})

const item = defineJob<{ n: number }>({ name: "item" })
const inserts = () => statements.filter(isInsert)

async function numbersIn(queue: string): Promise<number[]> {
  const { rows } = await own.pool.query(
    "select (payload ->> 'n')::int as n from millrace.jobs where queue = $1 order by id",
    [queue],
  )
  return rows.map((row: { n: number }) => row.n)
}

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

test("64 pushes of one moment are one insert, and keep their order", async () => {
  statements = []
  const jobs = await Promise.all(upTo(64).map((n) => app.push(item, { n: n + 100 }, { queue: "moment" })))
  expect(inserts()).toHaveLength(1)
  expect(await numbersIn("moment")).toEqual(upTo(64).map((n) => n + 100))
  const records = await Promise.all(jobs.map((job) => job.get()))
  expect(records.map((record) => (record!.payload as { n: number }).n)).toEqual(upTo(64).map((n) => n + 100))
})

test("64 concurrent callers, each pushing 20 times, share their statements", async () => {
  statements = []
  await Promise.all(
    upTo(64).map(async (caller) => {
      for (const n of upTo(20)) await app.push(item, { n: 1_000 + caller * 20 + n }, { queue: "callers" })
    }),
  )
  expect((await numbersIn("callers")).toSorted((a, b) => a - b)).toEqual(upTo(1_280).map((n) => n + 1_000))
  expect(inserts().length).toBeGreaterThan(0)
  expect(inserts().length).toBeLessThan(1_280 / 8)
})

test("what is pushed while an insert is in flight goes together with the next one", async () => {
  statements = []
  const hold = gate()
  barrier = hold.opened
  const first = app.push(item, { n: 1 }, { queue: "behind" })
  const rest: Promise<unknown>[] = []
  for (const n of upTo(10)) {
    await Promise.resolve()
    rest.push(app.push(item, { n: n + 20 }, { queue: "behind" }))
  }
  hold.open()
  await Promise.all([first, ...rest])
  barrier = undefined
  expect([1, 2]).toContain(inserts().length)
  expect(await numbersIn("behind")).toEqual([1, ...upTo(10).map((n) => n + 20)])
})

test("pushes of different definitions, options and queues share a statement and keep what is theirs", async () => {
  const other = defineJob<string>({ name: "other", queue: "mixed", maxAttempts: 9 })
  statements = []
  const [a, b, c] = await Promise.all([
    app.push(item, { n: 1 }, { queue: "mixed", priority: 4, tags: ["x"] }),
    app.push(other, "text"),
    app.push(item, { n: 2 }, { queue: "also-mixed", delay: "1h" }),
  ])
  expect(inserts()).toHaveLength(1)
  expect(await a.get()).toMatchObject({ name: "item", priority: 4, tags: ["x"], maxAttempts: 5, state: "pending" })
  expect(await b.get()).toMatchObject({ name: "other", priority: 0, tags: [], maxAttempts: 9, payload: "text" })
  expect(await c.get()).toMatchObject({ name: "item", queue: "also-mixed", state: "scheduled" })
})

test("a row that the database refuses fails alone, with the database's error; its neighbours are stored", async () => {
  statements = []
  const results = await Promise.allSettled(upTo(64).map((n) => app.push(item, { n }, { queue: "neighbours" })))
  const failed = results.flatMap((result, n) => (result.status === "rejected" ? [n] : []))
  expect(failed).toEqual([13])
  expect(results[13]).toMatchObject({ reason: { code: "23514" } })
  expect(await numbersIn("neighbours")).toEqual(upTo(64).filter((n) => n !== 13))
  expect(inserts().length).toBeGreaterThan(6)
  expect(inserts().length).toBeLessThanOrEqual(1 + 2 * 6) // the whole, then both halves at each of six levels
})

test("several refused rows of one statement each fail alone", async () => {
  const numbers = [13, 1, 13, 2, 3, 13, 13]
  const results = await Promise.allSettled(numbers.map((n) => app.push(item, { n }, { queue: "several" })))
  expect(results.map(({ status }) => status === "fulfilled")).toEqual(numbers.map((n) => n !== 13))
  expect(await numbersIn("several")).toEqual([1, 2, 3])
})

test("a refused row among pushes with unique keys fails alone, and its key is free", async () => {
  const results = await Promise.allSettled(
    upTo(20).map((n) => app.push(item, { n }, { queue: "keyed", uniqueKey: `keyed ${n}` })),
  )
  expect(results.flatMap(({ status }, n) => (status === "rejected" ? [n] : []))).toEqual([13])
  expect(await numbersIn("keyed")).toHaveLength(19)
  const again = await app.push(item, { n: 14 }, { queue: "keyed", uniqueKey: "keyed 13" })
  expect(again.duplicate).toBe(false)
})

test("pushMany stores all of a statement or nothing", async () => {
  const error = await rejection(
    app.pushMany(
      item,
      upTo(20).map((n) => ({ n })),
      { queue: "whole" },
    ),
  )
  expect(error).toMatchObject({ code: "23514" })
  expect(await numbersIn("whole")).toEqual([])
})

test("bad input among concurrent pushes fails alone, before anything is sent", async () => {
  const results = await Promise.allSettled([
    app.push(item, { n: 1 }, { queue: "bad-input" }),
    app.push(item, { n: Number.NaN }, { queue: "bad-input" }),
    app.push(item, { n: 2 }, { queue: "bad-input" }),
  ])
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"])
  expect(await numbersIn("bad-input")).toEqual([1, 2])
})

test("close waits for the pushes that are under way", async () => {
  const brief = new Millrace({ dsn: own.url, logger: false })
  const pushes = upTo(50).map((n) => brief.push(item, { n: n + 200 }, { queue: "closing" }))
  await Promise.all([...pushes, brief.close()])
  expect(await numbersIn("closing")).toHaveLength(50)
})
