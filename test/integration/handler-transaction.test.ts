import { cancel, defineJob, discard, snooze, type Directive, type Millrace, type RunningJob } from "millrace"
import { z } from "zod"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, rejection, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
  await own.pool.query("create table effects (job text, attempt int)")
})
afterAll(() => own.close())

type Tx = Parameters<Parameters<RunningJob["transaction"]>[0]>[0]

const leave = (tx: Tx, { name, attempt }: { name: string; attempt: number }) =>
  tx.query("insert into effects values ($1, $2)", [name, attempt])

/** Attempts whose effect was committed. */
async function effects(name: string): Promise<number[]> {
  const { rows } = await own.pool.query<{ attempt: number }>("select attempt from effects where job = $1", [name])
  return rows.map(({ attempt }) => attempt)
}

test("what a handler writes is committed once, together with its result", async () => {
  const pay = defineJob<undefined, string>({ name: "pay" })
  await using _worker = await own.worker(app, {
    handlers: [
      pay.handler((_, job) =>
        job.transaction(async (tx) => {
          await leave(tx, job)
          return "paid"
        }),
      ),
    ],
  })
  expect(await ended(app, await app.push(pay))).toMatchObject({ state: "succeeded", result: "paid", attempts: 1 })
  expect(await effects("pay")).toEqual([1])
})

test("the job is finished when the transaction resolves", async () => {
  const seen = gate<string>()
  const early = defineJob<undefined, string>({ name: "early" })
  await using _worker = await own.worker(app, {
    handlers: [
      early.handler(async (_, job) => {
        const value = await job.transaction(() => "inside")
        seen.open((await app.job(job.id).get())!.state)
        return `${value}, but this is not recorded`
      }),
    ],
  })
  expect(await ended(app, await app.push(early))).toMatchObject({ result: "inside" })
  expect(await seen.opened).toBe("succeeded")
})

test("a throw inside rolls everything back, and the next attempt commits", async () => {
  const shaky = defineJob({ name: "shaky", backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [
      shaky.handler((_, job) =>
        job.transaction(async (tx) => {
          await leave(tx, job)
          if (job.attempt < 2) throw new Error("between the writes")
        }),
      ),
    ],
  })
  const record = await ended(app, await app.push(shaky))
  expect(record).toMatchObject({ state: "succeeded", attempts: 2, errors: [{ message: "between the writes" }] })
  expect(await effects("shaky")).toEqual([2])
})

test("an SQL error that the handler swallowed rolls everything back with MILLRACE_ROLLED_BACK, and is tried again", async () => {
  const swallowing = defineJob({ name: "swallowing", backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [
      swallowing.handler((_, job) =>
        job.transaction(async (tx) => {
          await leave(tx, job)
          if (job.attempt < 2) await tx.query("select 1 / 0").catch(() => {})
        }),
      ),
    ],
  })
  const record = await ended(app, await app.push(swallowing))
  expect(record).toMatchObject({ state: "succeeded", attempts: 2, errors: [{ code: "MILLRACE_ROLLED_BACK" }] })
  expect(await effects("swallowing")).toEqual([2])
})

for (const [what, directive, state] of [
  ["snooze", snooze("1h"), "scheduled"],
  ["discard", discard("never"), "failed"],
  ["cancel", cancel("no"), "cancelled"],
] as [string, Directive, "scheduled" | "failed" | "cancelled"][]) {
  for (const how of ["returned", "thrown"]) {
    test(`a ${what} ${how} inside rolls back and is obeyed`, async () => {
      const name = `${what}-${how}`
      const job = defineJob({ name })
      await using _worker = await own.worker(app, {
        handlers: [
          job.handler((_, running) =>
            running.transaction(async (tx) => {
              await leave(tx, running)
              return how === "thrown" ? raise(directive) : directive
            }),
          ),
        ],
      })
      expect(await reached(app, await app.push(job), state)).toMatchObject({ state })
      expect(await effects(name)).toEqual([])
    })
  }
}

test("a job asked to be cancelled is rolled back and cancelled", async () => {
  const inside = gate()
  const open = gate()
  const wanted = defineJob({ name: "wanted" })
  await using _worker = await own.worker(app, {
    handlers: [
      wanted.handler((_, job) =>
        job.transaction(async (tx) => {
          await leave(tx, job)
          inside.open()
          await open.opened
        }),
      ),
    ],
  })
  const job = await app.push(wanted)
  await inside.opened
  expect(await job.cancel("not wanted")).toBe("requested")
  open.open()
  expect(await ended(app, job)).toMatchObject({ state: "cancelled", cancel: { reason: "not wanted" } })
  expect(await effects("wanted")).toEqual([])
})

test("a handler that throws after the commit stays succeeded, and the log says so", async () => {
  const after = defineJob<undefined, string>({ name: "throws-after" })
  await using worker = await own.worker(app, {
    handlers: [
      after.handler(async (_, job) => {
        await job.transaction(async (tx) => {
          await leave(tx, job)
          return "committed"
        })
        throw new Error("too late")
      }),
    ],
  })
  const job = await app.push(after)
  await ended(app, job)
  await worker.stop()
  expect(await job.get()).toMatchObject({ state: "succeeded", result: "committed", attempts: 1, errors: [] })
  expect(await effects("throws-after")).toEqual([1])
  expect(log.lines).toContainEqual(
    expect.objectContaining({
      level: "warn",
      message: expect.stringContaining("threw after its transaction was committed"),
    }),
  )
})

test("jobs pushed inside, or before, exist with the commit", async () => {
  await app.declareQueue({ name: "children", tags: [] })
  const child = defineJob({ name: "child", queue: "children" })
  const parent = defineJob<undefined, string[]>({ name: "parent" })
  await using _worker = await own.worker(app, {
    handlers: [
      parent.handler(async (_, job) => {
        const before = await job.push(child, {})
        return job.transaction(async () => {
          const inside = await job.push(child, {})
          return [before.id, inside.id]
        })
      }),
    ],
  })
  const ids = await (await app.push(parent)).result({ timeout: "20s" })
  const records = await Promise.all(ids.map((id) => app.job(id).get()))
  expect(records.map((record) => record?.state)).toEqual(["pending", "pending"])
})

test("a second transaction, or a push, after the commit is refused", async () => {
  const refused = gate<(string | undefined)[]>()
  const twice = defineJob({ name: "twice" })
  await using _worker = await own.worker(app, {
    handlers: [
      twice.handler(async (_, job) => {
        await job.transaction((tx) => leave(tx, job))
        const errors = [await rejection(job.transaction((tx) => leave(tx, job))), await rejection(job.push(twice, {}))]
        refused.open(errors.map(({ code }) => code))
      }),
    ],
  })
  await ended(app, await app.push(twice))
  expect(await refused.opened).toEqual(["MILLRACE_LEASE_LOST", "MILLRACE_LEASE_LOST"])
  expect(await effects("twice")).toEqual([1])
})

test("a result that its schema refuses rolls back", async () => {
  const checked = defineJob({ name: "checked", payload: z.any(), result: z.number(), backoff: atOnce })
  await using _worker = await own.worker(app, {
    handlers: [
      checked.handler((_, job) =>
        job.transaction(async (tx) => {
          await leave(tx, job)
          return job.attempt < 2 ? ("text" as never) : 2
        }),
      ),
    ],
  })
  const record = await ended(app, await app.push(checked, null))
  expect(record).toMatchObject({ state: "succeeded", result: 2, errors: [{ code: "MILLRACE_BAD_RESULT" }] })
  expect(await effects("checked")).toEqual([2])
})

test("a claim that was taken back meanwhile rolls back with MILLRACE_LEASE_LOST", async () => {
  const inside = gate()
  const open = gate()
  const lost = gate<string | undefined>()
  const taken = defineJob({ name: "taken" })
  await using _worker = await own.worker(app, {
    handlers: [
      taken.handler(async (_, job) => {
        if (job.claims > 1) return
        const error = await rejection(
          job.transaction(async (tx) => {
            await leave(tx, job)
            inside.open()
            await open.opened
          }),
        )
        lost.open(error.code)
      }),
    ],
  })
  const job = await app.push(taken)
  await inside.opened
  await own.pool.query(
    "update millrace.jobs set state = 'pending', token = null, worker = null where id = $1", // as recovery does
    [job.id],
  )
  open.open()
  expect(await lost.opened).toBe("MILLRACE_LEASE_LOST")
  expect(await effects("taken")).toEqual([])
  expect(await ended(app, job)).toMatchObject({ state: "succeeded", claims: 2 })
})

test("meta and an unstorable result go with the transaction", async () => {
  const odd = defineJob<undefined, unknown>({ name: "odd" })
  await using _worker = await own.worker(app, {
    handlers: [
      odd.handler((_, job) =>
        job.transaction(async (tx) => {
          await leave(tx, job)
          job.meta.written = true
          return { text: "a\0b", big: 10n }
        }),
      ),
    ],
  })
  expect(await ended(app, await app.push(odd))).toMatchObject({
    state: "succeeded",
    attempts: 1,
    meta: { written: true },
  })
  expect(await effects("odd")).toEqual([1])
})

test("whatever is thrown after the commit, the worker lets go of the job", async () => {
  const after = defineJob({ name: "throws-oddly-after" })
  await using worker = await own.worker(app, {
    shutdownTimeout: 500,
    grace: 100,
    handlers: [
      after.handler(async (_, job) => {
        await job.transaction((tx) => leave(tx, job))
        raise(Object.create(null)) // cannot be made text of
      }),
    ],
  })
  const job = await app.push(after)
  expect(await ended(app, job)).toMatchObject({ state: "succeeded" })
  expect(await worker.stop()).toBe(true)
})
