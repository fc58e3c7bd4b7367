import { randomUUID } from "node:crypto"
import { defineJob, discard, snooze, type Millrace, type RunningJob } from "millrace"
import { z } from "zod"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await app.declareQueue({ name: "children", tags: [] }) // nobody runs them: they stay to be counted
})
afterAll(() => own.close())

const child = defineJob<unknown>({ name: "child", queue: "children" })

/** Ids of the children that one test's parent pushed, told apart by their payload. */
async function children(of: string): Promise<string[]> {
  const { rows } = await own.pool.query<{ id: string }>(
    "select id from millrace.jobs where name = 'child' and payload ->> 'of' = $1 order by id",
    [of],
  )
  return rows.map(({ id }) => id)
}

test("a pushed job exists once its parent has succeeded, and not before", async () => {
  const pushed = gate<string>()
  const open = gate()
  const parent = defineJob<undefined, string>({ name: "parent" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        const { id } = await job.push(child, { of: "parent" })
        pushed.open(id)
        await open.opened
        return id
      }),
    ],
  })
  const job = await app.push(parent)
  const id = await pushed.opened
  expect(await app.job(id).get()).toBeUndefined()
  open.open()
  expect(await job.result({ timeout: "20s" })).toBe(id)
  expect(await children("parent")).toEqual([id])
})

test("what an attempt pushed that failed does not exist; the next attempt pushes anew", async () => {
  const parent = defineJob<undefined, string>({ name: "second-try", backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        const { id } = await job.push(child, { of: "second-try" })
        return job.attempt < 2 ? raise(new Error("no")) : id
      }),
    ],
  })
  const id = await (await app.push(parent)).result({ timeout: "20s" })
  expect(await children("second-try")).toEqual([id])
})

for (const [name, end, state] of [
  ["discarded", () => discard(), "failed"],
  ["snoozed", () => snooze("1h"), "scheduled"],
  ["failed", () => raise(new Error("x")), "failed"],
] as const) {
  test(`a ${name} job leaves nothing that it pushed`, async () => {
    const parent = defineJob<undefined, unknown>({ name: `parent-${name}`, maxAttempts: 1 })
    await using _worker = await own.worker(app, {
      handlers: [
        parent.handler(async (_, job) => {
          await job.push(child, { of: name })
          return end()
        }),
      ],
    })
    expect(await reached(app, await app.push(parent), state)).toMatchObject({ state })
    expect(await children(name)).toEqual([])
  })
}

test("a job that was asked to be cancelled leaves nothing that it pushed", async () => {
  const open = gate()
  const parent = defineJob({ name: "parent-cancelled" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        await job.push(child, { of: "cancelled" })
        await open.opened
      }),
    ],
  })
  const job = await app.push(parent)
  await reached(app, job, "running")
  await job.cancel()
  open.open()
  expect(await ended(app, job)).toMatchObject({ state: "cancelled" })
  expect(await children("cancelled")).toEqual([])
})

test("a unique key that is taken does not keep the parent from succeeding", async () => {
  const holder = await app.push(child, { of: "holder" }, { uniqueKey: "taken" })
  const parent = defineJob({ name: "parent-unique" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        await job.push(child, { of: "unique" }, { uniqueKey: "taken" })
        await job.push(child, { of: "unique" }, { uniqueKey: "free" })
        await job.push(child, { of: "unique" }, { uniqueKey: "free" })
        await job.push(child, { of: "unique" })
      }),
    ],
  })
  expect(await ended(app, await app.push(parent))).toMatchObject({ state: "succeeded" })
  expect(await children("holder")).toEqual([holder.id])
  expect(await children("unique")).toHaveLength(2)
})

test("the options of a push count", async () => {
  const parent = defineJob<undefined, string>({ name: "parent-options" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        const { id } = await job.push(child, { of: "options" }, { priority: 7, runAt: "in 1h", tags: ["t"] })
        return id
      }),
    ],
  })
  const id = await (await app.push(parent)).result({ timeout: "20s" })
  expect(await app.job(id).get()).toMatchObject({ state: "scheduled", priority: 7, tags: ["t"], queue: "children" })
})

test("a handler may push many", async () => {
  const parent = defineJob({ name: "parent-many" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        for (const n of range(2_500)) await job.push(child, { of: "many", n })
      }),
    ],
  })
  await ended(app, await app.push(parent))
  expect(await children("many")).toHaveLength(2_500)
})

test("many parents at once each leave their own children", async () => {
  const parent = defineJob<number>({ name: "parent-of-two" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (n, job) => {
        await job.push(child, { of: `two-${n}` })
        await job.push(child, { of: `two-${n}` }, { uniqueKey: `two-${n}` })
      }),
    ],
  })
  await app.wait(await app.pushMany(parent, range(200)), { timeout: "20s" })
  const { rows } = await own.pool.query<{ count: number }>(
    `select count(*)::int from millrace.jobs where payload ->> 'of' like 'two-%' group by payload ->> 'of'`,
  )
  expect(rows.map(({ count }) => count)).toEqual(Array(200).fill(2))
})

test("pushed jobs run", async () => {
  const chain = defineJob<number, number>({ name: "chain" })
  const last = gate()
  await using _worker = await own.worker(app, {
    handlers: [
      chain.handler(async (n, job) => {
        if (n === 0) last.open()
        else await job.push(chain, n - 1)
        return n
      }),
    ],
  })
  await app.push(chain, 10)
  await last.opened
})

test("a push whose payload is refused throws in the handler", async () => {
  const strict = defineJob({ name: "child-strict", queue: "children", payload: z.object({ n: z.number() }) })
  const parent = defineJob({ name: "parent-refused", maxAttempts: 1 })
  await using _worker = await own.worker(app, {
    handlers: [parent.handler(async (_, job) => void (await job.push(strict, { n: "x" } as never)))],
  })
  expect(await ended(app, await app.push(parent))).toMatchObject({ state: "failed" })
})

test("a push after the job has ended is refused", async () => {
  const kept = gate<RunningJob>()
  const parent = defineJob({ name: "parent-late" })
  await using _worker = await own.worker(app, { handlers: [parent.handler((_, job) => kept.open(job))] })
  await ended(app, await app.push(parent))
  const error = await rejection((await kept.opened).push(child, { of: "late" }))
  expect(error).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
})

test("a pushed id that exists already fails the attempt that pushed it, and nobody else", async () => {
  const existing = await app.push(child, { of: "existing" }, { id: randomUUID() })
  const parent = defineJob<string | undefined, unknown>({ name: "parent-same-id", maxAttempts: 1 })
  await using worker = await own.worker(app, {
    handlers: [parent.handler(async (id, job) => void (await job.push(child, { of: "same-id" }, id ? { id } : {})))],
  })
  const [bad, good] = await app.pushMany(parent, [existing.id, undefined])
  expect(await ended(app, good!)).toMatchObject({ state: "succeeded" })
  expect(await ended(app, bad!)).toMatchObject({ state: "failed", errors: { length: 1 } })
  expect(await children("same-id")).toHaveLength(1)
  await until(() => worker.running === 0, "the worker is idle")
})
