import { randomUUID } from "node:crypto"
import { defineJob, type CallerTransaction, type Millrace } from "millrace"
import type pg from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, rejection, until, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await own.pool.query("create table orders (id int primary key)")
})
afterAll(() => own.close())

const ran: unknown[] = []
const work = defineJob<number, number>({ name: "work" })

async function withClient<T>(run: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await own.pool.connect()
  try {
    return await run(client)
  } finally {
    await client.query("rollback")
    client.release()
  }
}

async function stored(id: string): Promise<boolean> {
  return (await app.job(id).get()) !== undefined
}

test("a push inside a committed transaction is visible with the commit, and runs", async () => {
  await own.worker(app, { handlers: [work.handler((n) => (ran.push(n), n * 2))] })
  await withClient(async (client) => {
    await client.query("begin")
    await client.query("insert into orders values (1)")
    const job = await app.push(work, 1, { tx: client })
    expect(job).toMatchObject({ queue: "default", duplicate: false })
    expect(await stored(job.id)).toBe(false)
    await client.query("commit")
    expect(await job.result({ timeout: "20s" })).toBe(2)
  })
})

test("a push inside a rolled-back transaction never runs", async () => {
  await withClient(async (client) => {
    await client.query("begin")
    const gone = await app.push(work, 13, { tx: client })
    await client.query("rollback")
    expect(await stored(gone.id)).toBe(false)
    expect(await rejection(gone.result({ timeout: "20s" }))).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
    const after = await app.push(work, 14)
    expect(await after.result({ timeout: "20s" })).toBe(28)
    expect(ran).not.toContain(13)
  })
})

test("a push rolled back to a savepoint goes, those around it stay", async () => {
  await withClient(async (client) => {
    await client.query("begin")
    const before = await app.push(work, 20, { tx: client, queue: "savepoints" })
    await client.query("savepoint here")
    const inside = await app.push(work, 21, { tx: client, queue: "savepoints" })
    await client.query("rollback to savepoint here")
    const after = await app.push(work, 22, { tx: client, queue: "savepoints" })
    await client.query("commit")
    expect(await Promise.all([before, inside, after].map(({ id }) => stored(id)))).toEqual([true, false, true])
  })
})

test("the wake-up of a push travels with the transaction", async () => {
  const listener = await own.pool.connect()
  const heard: string[] = []
  const hear = (message: { payload?: string | undefined }) => void heard.push(message.payload ?? "")
  listener.on("notification", hear)
  try {
    await listener.query("listen millrace_events")
    await withClient(async (client) => {
      await client.query("begin")
      await app.push(work, 1, { tx: client, queue: "rolled-back" })
      await client.query("rollback")
      await client.query("begin")
      await app.push(work, 1, { tx: client, queue: "unwoken", wake: false })
      await app.push(work, 1, { tx: client, queue: "committed" })
      await client.query("commit")
    })
    await until(() => heard.some((payload) => payload.includes("committed")), "the wake-up arrives")
    expect(heard.filter((payload) => /rolled-back|unwoken/.test(payload))).toEqual([])
  } finally {
    await listener.query("unlisten *")
    listener.off("notification", hear)
    listener.release()
  }
})

test("unique keys hold inside a transaction, against others and against itself", async () => {
  const holder = await app.push(work, 1, { queue: "keys", uniqueKey: "held" })
  await withClient(async (client) => {
    await client.query("begin")
    const options = { queue: "keys", tx: client }
    const taken = await app.push(work, 2, { ...options, uniqueKey: "held" })
    const first = await app.push(work, 3, { ...options, uniqueKey: "new" })
    const second = await app.push(work, 4, { ...options, uniqueKey: "new" })
    expect([taken.id, taken.duplicate]).toEqual([holder.id, true])
    expect([first.duplicate, second.duplicate, second.id]).toEqual([false, true, first.id])
    await client.query("commit")
    expect((await first.get())?.payload).toBe(3)
  })
})

test("a key pushed by a transaction that rolls back is free for who waited for it", async () => {
  await withClient(async (client) => {
    await client.query("begin")
    await app.push(work, 1, { queue: "keys", uniqueKey: "waited for", tx: client })
    const waiting = app.push(work, 2, { queue: "keys", uniqueKey: "waited for" })
    await until(async () => {
      const { rows } = await own.pool.query(
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      )
      return rows.length > 0
    }, "the other push waits")
    await client.query("rollback")
    const job = await waiting
    expect(job.duplicate).toBe(false)
    expect((await job.get())?.payload).toBe(2)
  })
})

test("a key that the other transaction commits makes who waited for it a duplicate", async () => {
  await withClient(async (client) => {
    await client.query("begin")
    const first = await app.push(work, 1, { queue: "keys", uniqueKey: "won", tx: client })
    const waiting = app.push(work, 2, { queue: "keys", uniqueKey: "won" })
    await client.query("commit")
    const second = await waiting
    expect([second.id, second.duplicate]).toEqual([first.id, true])
  })
})

test("the same id twice in one transaction is one job", async () => {
  await withClient(async (client) => {
    const id = randomUUID()
    await client.query("begin")
    await app.push(work, 1, { queue: "ids", tx: client, id })
    await app.push(work, 2, { queue: "ids", tx: client, id })
    await client.query("commit")
    expect((await app.job(id).get())?.payload).toBe(1)
  })
})

test("in a transaction that has failed, the push fails with the server's own error, and nothing is stored", async () => {
  await withClient(async (client) => {
    await client.query("begin")
    await client.query("insert into orders values (100)")
    await expect(client.query("insert into orders values (100)")).rejects.toMatchObject({ code: "23505" })
    const id = randomUUID()
    const error = await rejection(app.push(work, 1, { tx: client, id }))
    expect(error).toMatchObject({ code: "25P02" })
    await client.query("rollback")
    expect(await stored(id)).toBe(false)
  })
})

test("a push that the database refuses fails with the server's own error", async () => {
  await own.pool.query("alter table millrace.jobs add constraint no_13 check (queue <> 'refused')")
  await withClient(async (client) => {
    await client.query("begin")
    expect(await rejection(app.push(work, 1, { tx: client, queue: "refused" }))).toMatchObject({ code: "23514" })
  })
  await own.pool.query("alter table millrace.jobs drop constraint no_13")
})

test("bad input is refused before the transaction is touched", async () => {
  await withClient(async (client) => {
    await client.query("begin")
    const bad = app.push(work, 1n as never, { tx: client })
    expect(await rejection(bad)).toMatchObject({ code: "MILLRACE_BAD_JSON" })
    const good = await app.push(work, 1, { tx: client, queue: "after-bad" })
    await client.query("commit")
    expect(await stored(good.id)).toBe(true)
  })
})

test.each<[string, unknown]>([
  ["an object without query", {}],
  ["text", "begin"],
  ["a query that resolves to nothing", { query: async () => undefined }],
  ["a query that resolves to rows alone", { query: async () => [] }],
])("%s is no transaction, and the message says what is", async (_, tx) => {
  const error = await rejection(app.push(work, 1, { tx: tx as CallerTransaction, queue: "no-transaction" }))
  expect(error).toMatchObject({ code: "MILLRACE_BAD_TRANSACTION" })
  expect(error.message).toMatch(/open transaction.*query\(text, values\)/)
})

test("a pool is no transaction: its statements go to any connection", async () => {
  const error = await rejection(app.push(work, 1, { tx: own.pool, queue: "no-transaction" }))
  expect(error).toMatchObject({ code: "MILLRACE_BAD_TRANSACTION" })
})

test("on a client that has begun nothing, the job is there at once", async () => {
  await withClient(async (client) => {
    expect(await stored((await app.push(work, 1, { tx: client, queue: "not-begun" })).id)).toBe(true)
  })
})
