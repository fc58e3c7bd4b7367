import { defineJob, type Millrace } from "millrace"
import type { Worker } from "millrace/worker"
import { randomBytes } from "node:crypto"
import fs from "node:fs"
import path from "node:path"
import pg from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { deferred } from "../../src/lib/deferred.ts"
import { fixture, rejection, type Fixture } from "../support/app.ts"
import { ended, range } from "../support/worker-fixture.ts"

/*
 * A producer that has nothing but SQL: a role of its own that was granted the three functions, and a worker in TypeScript.
 */

let own: Fixture
let app: Millrace
let worker: Worker
let producer: pg.Pool
const role = `producer_${randomBytes(5).toString("hex")}`

const shout = defineJob<{ text: string }, unknown>({
  name: "shout",
  queue: "voices",
  priority: 7,
  maxAttempts: 3,
  timeout: "20s",
  retention: { succeeded: "3d", failed: "30d" },
  backoff: { initial: "3s", jitter: "none" },
  tags: ["loud"],
  meta: { from: "definition" },
  aliases: ["old-shout"],
})
const keyed = defineJob<{ id: number }>({ name: "keyed", uniqueKey: ({ id }) => `k${id}` })

beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await own.pool.query(`create role ${role} login password 'secret'`)
  await own.pool.query("select millrace.grant_producer($1)", [role])
  const url = new URL(own.url)
  url.username = role
  url.password = "secret"
  producer = new pg.Pool({ connectionString: url.href, max: 4 })
  worker = await own.worker(app, {
    handlers: [
      shout.handler((payload, job) => ({ payload, queue: job.queue, tags: job.tags })),
      keyed.handler(() => {}),
    ],
  })
})
afterAll(async () => {
  await producer.end()
  await own.pool.query(`drop owned by ${role}`)
  await own.pool.query(`drop role ${role}`)
  await own.close()
})

/** The first column of the rows, as the producer. */
async function sql<T = string>(text: string, values: unknown[] = []): Promise<T[]> {
  const { rows } = await producer.query<Record<string, T>>(text, values)
  return rows.map((row) => Object.values(row)[0]!)
}
const push = async (name: string, payload: unknown, options: object = {}) =>
  (await sql("select millrace.push($1, $2, $3)", [name, JSON.stringify(payload), JSON.stringify(options)]))[0]!

test("a job pushed in plain SQL runs, with the defaults that a worker announced", async () => {
  const payload = { text: "ho", deep: { list: [1, { a: null }], quote: "it's \"so\" \\ 'ü'" } }
  const id = await push("shout", payload)
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/)
  const job = app.job(id)
  expect(await job.result({ timeout: "20s" })).toEqual({ payload, queue: "voices", tags: ["loud"] })
  const expected = await app.push(shout, { text: "ho" })
  await ended(app, expected)
  const settings = async (one: string) =>
    (
      await own.pool.query(
        `select name, queue, priority, max_attempts, timeout_ms, keep_s, keep_failed_s, tags, meta, options
         from millrace.all_jobs where id = $1`,
        [one],
      )
    ).rows
  expect(await settings(id)).toEqual(await settings(expected.id))
})

test("the id is of version 7 and of now, and ids of one session ascend", async () => {
  const before = Date.now()
  const ids: string[] = []
  for (const n of range(50)) ids.push(await push("later", n, { delay: "1h" }))
  ids.push(
    ...(await sql("select millrace.push_many('later', array_fill('1'::jsonb, array[5000]), '{\"delay\": \"1h\"}')")),
  )
  expect(ids).toEqual([...new Set(ids)].sort())
  const time = Number.parseInt(ids[0]!.replaceAll("-", "").slice(0, 12), 16)
  expect(Math.abs(time - before)).toBeLessThan(60_000)
})

test("without a definition, a job has the core's defaults", async () => {
  const id = await push("nobody-knows-it", null)
  const { rows } = await own.pool.query(
    "select queue, priority, max_attempts, timeout_ms, keep_s, payload from millrace.all_jobs where id = $1",
    [id],
  )
  expect(rows).toEqual([
    { queue: "default", priority: 0, max_attempts: 5, timeout_ms: null, keep_s: 86_400, payload: null },
  ])
})

test("a name's defaults are those of the worker that started last; an alias has them too", async () => {
  const { rows } = await own.pool.query("select name, keyed, worker from millrace.definitions order by name")
  expect(rows).toEqual([
    { name: "keyed", keyed: true, worker: worker.id },
    { name: "old-shout", keyed: false, worker: worker.id },
    { name: "shout", keyed: false, worker: worker.id },
  ])
  const other = defineJob({ name: "changing", queue: "one" })
  const changed = defineJob({ name: "changing", queue: "two" })
  await own.worker(app, { handlers: [other.handler(() => {})] })
  expect((await app.job(await push("changing", 1)).get())?.queue).toBe("one")
  await own.worker(app, { handlers: [changed.handler(() => {})] })
  expect((await app.job(await push("changing", 1)).get())?.queue).toBe("two")
})

test("options say the same as in TypeScript", async () => {
  const id = await push(
    "shout",
    {},
    {
      queue: "elsewhere",
      priority: -3,
      run_at: "in 1h30m",
      max_attempts: 9,
      backoff: { initial: "250ms", factor: 3 },
      timeout: "1m",
      expires_at: "2999-01-01T00:00:00Z",
      unique_key: { key: "the key", scope: "queue" },
      meta: { a: 1 },
      tags: ["x", "y"],
      retention: "forever",
    },
  )
  const job = (await app.job(id).get())!
  expect(job).toMatchObject({
    queue: "elsewhere",
    priority: -3,
    state: "scheduled",
    maxAttempts: 9,
    uniqueKey: "the key",
    meta: { a: 1 },
    tags: ["x", "y"],
    retention: { succeeded: -1, failed: -1 },
    expiresAt: new Date("2999-01-01T00:00:00Z"),
  })
  expect(job.runAt.getTime() - job.createdAt.getTime()).toBe(5_400_000)
  const { rows } = await own.pool.query("select timeout_ms, options from millrace.jobs where id = $1", [id])
  expect(rows).toEqual([
    { timeout_ms: 60_000, options: { backoff: { initial: 250, factor: 3, max: 300_000, jitter: "full" } } },
  ])
})

test.each([
  ["10m", 600_000],
  ["1w2d3h4m5s6ms", 788_645_006],
  ["1.5h", 5_400_000],
  ["10 minutes", 600_000],
  ["P1DT2H", 93_600_000],
  ["00:00:30", 30_000],
  [1500, 1_500],
] as const)("the delay %j is %d ms", async (delay, ms) => {
  const job = (await app.job(await push("later", 0, { delay })).get())!
  expect(job.runAt.getTime() - job.createdAt.getTime()).toBe(ms)
})

test("a push that is rolled back never was, one that is committed wakes the worker", async () => {
  const client = await producer.connect()
  try {
    await client.query("begin")
    const rolledBack = await client.query<{ push: string }>("select millrace.push('shout', '{\"text\": \"no\"}')")
    await client.query("rollback")
    await client.query("begin")
    const kept = await client.query<{ push: string }>("select millrace.push('shout', '{\"text\": \"yes\"}')")
    expect(await app.job(kept.rows[0]!.push).get()).toBeUndefined()
    await client.query("commit")
    await app.job(kept.rows[0]!.push).result({ timeout: "20s" })
    expect(await app.job(rolledBack.rows[0]!.push).get()).toBeUndefined()
  } finally {
    client.release()
  }
})

test("workers are told at the commit, unless wake is false or the job was there", async () => {
  const heard: string[] = []
  const listener = await own.pool.connect()
  const hear = ({ payload }: pg.Notification) => void heard.push(payload ?? "")
  listener.on("notification", hear)
  try {
    await listener.query("listen millrace_events")
    await push("quiet", 1, { queue: "silent", wake: false })
    await push("loud", 1, { queue: "told", unique_key: "once" })
    await push("loud", 1, { queue: "told-again", unique_key: "once" })
    await push("loud", 1, { queue: "told-later", run_at: "in 1h" })
    await listener.query("select 1")
    expect(heard.filter((line) => /silent|told/.test(line))).toEqual(["r told", "l told-later"])
  } finally {
    await listener.query("unlisten *")
    listener.off("notification", hear)
    listener.release()
  }
})

test("a unique key that is taken gives the job that holds it; scopes are kept apart, and shared with TypeScript", async () => {
  const options = { unique_key: "invoice 1", delay: "1h" }
  const first = await push("bill", 1, options)
  expect(await push("bill", 2, options)).toBe(first)
  expect(await push("bill", 2, { ...options, unique_key: { key: "invoice 1", scope: "name" } })).not.toBe(first)
  const again = await app.push(defineJob({ name: "bill" }), 3, { uniqueKey: "invoice 1" })
  expect(again).toMatchObject({ id: first, duplicate: true })
  const many = await sql("select millrace.push_many('bill', array['1', '2']::jsonb[], $1)", [JSON.stringify(options)])
  expect(many).toEqual([first, first])
  expect(await sql("select millrace.cancel($1, 'wrong')", [first])).toEqual(["cancelled"])
  expect(await push("bill", 4, options)).not.toBe(first)
})

test("a definition whose key is made by code asks for the key", async () => {
  const error = await rejection(push("keyed", { id: 1 }))
  expect(error).toMatchObject({ code: "22023", hint: expect.stringContaining('"unique_key": null') })
  expect(error.message).toBe('millrace.push: the unique key of "keyed" is made by code that SQL cannot run')
  await push("keyed", { id: 1 }, { unique_key: null })
  const id = await push("keyed", { id: 2 }, { unique_key: "k2" })
  await ended(app, app.job(id))
})

test("10,000 jobs from one call run", async () => {
  const ids = await sql(
    "select millrace.push_many('shout', array(select jsonb_build_object('text', i) from generate_series(1, 10000) i))",
  )
  expect(new Set(ids).size).toBe(10_000)
  const last = await app.job(ids.at(-1)!).result({ timeout: "60s" })
  expect(last).toMatchObject({ payload: { text: 10_000 } })
  const { rows } = await own.pool.query("select payload from millrace.all_jobs where id = $1", [ids[4_711]])
  expect(rows).toEqual([{ payload: { text: 4_712 } }])
})

test("no payloads push nothing", async () => {
  expect(await sql("select millrace.push_many('shout', '{}')")).toEqual([])
})

test("cancel says what it did, and fires the signal of a running job", async () => {
  const waiting = defineJob({ name: "waiting" })
  const started = deferred<void>()
  await own.worker(app, {
    handlers: [
      waiting.handler(
        (_, job) =>
          new Promise((_resolve, reject) => {
            job.signal.addEventListener("abort", () => reject(job.signal.reason as Error))
            started.resolve()
          }),
      ),
    ],
  })
  const job = app.job(await push("waiting", 0))
  await started.promise
  expect(await sql("select millrace.cancel($1, 'enough')", [job.id])).toEqual(["requested"])
  expect(await ended(app, job)).toMatchObject({ state: "cancelled", cancel: { reason: "enough" } })
  expect(await sql("select millrace.cancel($1)", [job.id])).toEqual(["finished"])
  expect(await sql("select millrace.cancel(gen_random_uuid())")).toEqual(["unknown"])
})

test("cancelling makes room in the history for a retention that no worker knows", async () => {
  const id = await push("later", 0, { delay: "1h", retention: "11d" })
  expect(await sql("select millrace.cancel($1)", [id])).toEqual(["cancelled"])
  expect(await app.job(id).get()).toMatchObject({ state: "cancelled", retention: { succeeded: 950_400 } })
})

test.each([
  ["bad name", {}, /push: name: expected 1 to 128 letters/],
  ["x", { queue: "a b" }, /option "queue": expected 1 to 128 letters/],
  ["x", { max_attempts: 0 }, /option "max_attempts": expected a whole number from 1 to 1000000, not 0/],
  ["x", { max_attempts: "3" }, /expected a whole number/],
  ["x", { priority: 1.5 }, /expected a whole number/],
  ["x", { delay: "soon" }, /option "delay": expected a duration such as "90s"/],
  ["x", { delay: "10" }, /expected a duration/],
  ["x", { delay: -1 }, /expected a duration/],
  ["x", { timeout: "0s" }, /option "timeout": expected a duration/],
  ["x", { run_at: "whenever" }, /option "run_at": expected a timestamp, or text such as "in 10m"/],
  ["x", { run_at: "infinity" }, /expected a timestamp/],
  ["x", { run_at: "in 1m", delay: "1m" }, /say the same thing twice/],
  ["x", { unique_key: "" }, /option "unique_key": expected 1 to 500 characters/],
  ["x", { unique_key: { key: "k", scope: "world" } }, /expected "global", "queue" or "name", not "world"/],
  ["x", { backoff: { factor: 0.5 } }, /option "backoff".factor: expected a number of at least 1/],
  ["x", { backoff: { every: 1 } }, /expected one of initial, factor, max, jitter, not "every"/],
  ["x", { retention: { success: "1d" } }, /option "retention": expected a duration, "none"/],
  ["x", { meta: [1] }, /option "meta": expected an object/],
  ["x", { tags: [1] }, /option "tags": expected a list/],
  ["x", { wake: "no" }, /option "wake": expected true or false/],
  ["x", [], /options: expected a JSON object/],
] as const)("%s with %j is refused", async (name, options, says) => {
  const error = await rejection(push(name, null, options))
  expect(error).toMatchObject({ code: "22023" })
  expect(error.message).toMatch(says)
})

test("an unknown option is refused with its name here", async () => {
  expect(await rejection(push("x", 1, { maxAttempts: 3 }))).toMatchObject({
    code: "22023",
    message: 'millrace.push: there is no option "maxAttempts"',
    hint: 'It is called "max_attempts" here.',
  })
  expect(await rejection(push("x", 1, { attempts: null }))).toMatchObject({
    hint: expect.stringMatching(/^Known: queue/),
  })
})

test("a payload over the limit is refused", async () => {
  const error = await rejection(push("x", "x".repeat(262_144)))
  expect(error).toMatchObject({ code: "54000", message: expect.stringContaining("over the limit of 262144") })
})

test("the producer can read nothing, and call nothing else", async () => {
  for (const relation of [
    "jobs",
    "jobs_history",
    "all_jobs",
    "job_log_chunks",
    "definitions",
    "workers",
    "queues",
    "migrations",
  ])
    expect(await rejection(sql(`select * from millrace.${relation}`))).toMatchObject({ code: "42501" })
  const { rows } = await own.pool.query<{ name: string }>(
    `select p.oid::regprocedure::text as name from pg_proc p
     where p.pronamespace = 'millrace'::regnamespace and has_function_privilege($1, p.oid, 'execute') order by 1`,
    [role],
  )
  expect(rows.map(({ name }) => name)).toEqual([
    "millrace.cancel(uuid,text)",
    "millrace.push(text,jsonb,jsonb)",
    "millrace.push_many(text,jsonb[],jsonb)",
  ])
  expect(await rejection(sql("create table millrace.mine ()"))).toMatchObject({ code: "42501" })
})

test("what a producer puts into its search_path or its temporary schema is not called", async () => {
  const client = await producer.connect()
  try {
    await client.query("create function pg_temp.jsonb_typeof(jsonb) returns text language sql as $$ select 'object' $$")
    await client.query("create temporary table jobs (id uuid)")
    await client.query("set search_path = pg_temp, millrace")
    await expect(client.query(`select millrace.push('x', '1', '[]')`)).rejects.toThrow(/expected a JSON object/)
    await client.query(`select millrace.push('x', '1', '{"delay": "1h"}')`)
    expect((await client.query("select * from pg_temp.jobs")).rows).toEqual([])
  } finally {
    client.release(true)
  }
})

test("a role without the grant can push nothing; revoking takes it back", async () => {
  const other = `${role}_2`
  await own.pool.query(`create role ${other}`)
  const tries = async () => {
    const client = await own.pool.connect()
    try {
      await client.query(`set role ${other}`)
      await client.query("select millrace.push('x', '1', '{\"delay\": \"1h\"}')")
      return true
    } catch (error) {
      expect(error).toMatchObject({ code: "42501" })
      return false
    } finally {
      await client.query("reset role")
      client.release()
    }
  }
  expect(await tries()).toBe(false)
  await own.pool.query("select millrace.grant_producer($1)", [other])
  expect(await tries()).toBe(true)
  await own.pool.query("select millrace.revoke_producer($1)", [other])
  expect(await tries()).toBe(false)
  await own.pool.query(`drop role ${other}`)
})

test("functions live in the schema that was configured", async () => {
  await using side = await own.app({ schema: "side_door" })
  const { rows } = await own.pool.query<{ push: string }>("select side_door.push('x', '{\"a\": 1}')")
  expect(await side.job(rows[0]!.push).get()).toMatchObject({ payload: { a: 1 } })
  expect(await app.job(rows[0]!.push).get()).toBeUndefined()
  await side.migrate({ to: 1 })
  await side.migrate()
})

test("the statements of docs/sql.md run, in their order", async () => {
  await using documented = await fixture()
  const docsApp = await documented.app()
  const text = fs.readFileSync(path.resolve(import.meta.dirname, "../../docs/sql.md"), "utf8")
  const blocks = [...text.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, block]) =>
    block!.replaceAll("signup", `${role}_docs`),
  )
  expect(blocks.length).toBeGreaterThan(6)
  const client = await documented.pool.connect()
  try {
    for (const block of blocks) await client.query(block)
  } finally {
    client.release()
  }
  const { rows } = await documented.pool.query("select count(*)::int as count from millrace.jobs")
  expect(rows).toEqual([{ count: 1_004 }])
  await docsApp.close()
})
