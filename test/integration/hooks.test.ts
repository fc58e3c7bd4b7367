import { defineJob, discard, type Millrace } from "millrace"
import type { Ended, Plugin } from "millrace/worker"
import { afterAll, beforeAll, expect, test } from "vitest"
import { collector, fixture, gate, until, type Fixture } from "../support/app.ts"
import { atOnce, ended, raise, range, reached } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
const log = collector()
beforeAll(async () => {
  own = await fixture()
  app = await own.app({ logger: log })
  await own.pool.query("create table ledger (job uuid, state text)")
})
afterAll(() => own.close())

const skipped = (plugin: string, hook: string) =>
  log.lines.filter(({ level, message }) => level === "error" && message.includes(`"${plugin}": ${hook} threw`))

async function ledger(id: string): Promise<string[]> {
  const { rows } = await own.pool.query<{ state: string }>("select state from ledger where job = $1", [id])
  return rows.map(({ state }) => state)
}

/** Runs one job with these plugins to its end. */
async function run(name: string, plugins: Plugin[], handle: (attempt: number) => unknown = () => "result") {
  const job = defineJob<undefined, unknown>({ name, maxAttempts: 2, backoff: atOnce })
  await using _worker = await own.worker(app, {
    plugins,
    handlers: [job.handler(async (_, { attempt }) => handle(attempt))],
  })
  return await ended(app, await app.push(job))
}

// ---- around ---------------------------------------------------------------------------------------------------------

test("around wraps each run, the first plugin outermost", async () => {
  const steps: string[] = []
  const tracing = (name: string): Plugin => ({
    name,
    async around(job, next) {
      steps.push(`${name} before ${job.attempt}`)
      const report = await next()
      steps.push(`${name} after ${report.ok}`)
      return report
    },
  })
  const record = await run("around", [tracing("outer"), tracing("inner")], (attempt) => {
    steps.push("handler")
    return attempt < 2 ? raise(new Error("no")) : "ok"
  })
  expect(record).toMatchObject({ state: "succeeded", result: "ok", attempts: 2 })
  const one = (attempt: number, ok: boolean) => [
    `outer before ${attempt}`,
    `inner before ${attempt}`,
    "handler",
    `inner after ${ok}`,
    `outer after ${ok}`,
  ]
  expect(steps).toEqual([...one(1, false), ...one(2, true)])
})

test("around may answer instead of the handler", async () => {
  let runs = 0
  const plugin: Plugin = { name: "cache", around: async () => ({ ok: true, value: "from the cache" }) }
  const record = await run("around-instead", [plugin], () => runs++)
  expect(record).toMatchObject({ state: "succeeded", result: "from the cache" })
  expect(runs).toBe(0)
})

test("an around that throws, before or after, is reported and skipped; the handler runs once", async () => {
  let runs = 0
  const before: Plugin = { name: "early", around: async () => raise(new Error("early bug")) }
  const sync: Plugin = { name: "sync", around: () => raise(new Error("sync bug")) }
  const after: Plugin = { name: "late", around: async (_, next) => (await next()) && raise(new Error("late bug")) }
  const nothing: Plugin = { name: "nothing", around: async () => undefined as never }
  const record = await run("around-broken", [before, sync, after, nothing], () => ++runs)
  expect(record).toMatchObject({ state: "succeeded", result: 1, attempts: 1 })
  expect(runs).toBe(1)
  for (const name of ["early", "sync", "late"]) expect(skipped(name, "around")).toHaveLength(1)
})

test("around wraps each job of a batch", async () => {
  const seen: string[] = []
  const batched = defineJob<number, number>({ name: "around-batch" })
  const jobs = await app.pushMany(batched, range(3))
  await using _worker = await own.worker(app, {
    plugins: [
      {
        name: "batch",
        async around(job, next) {
          const report = await next()
          seen.push(job.id)
          return report
        },
      },
    ],
    handlers: [batched.batch({ size: 3 }, (batch) => batch.map(({ payload }) => payload + 1))],
  })
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ result }) => result)).toEqual([1, 2, 3])
  expect(seen.sort()).toEqual(jobs.map(({ id }) => id).sort())
})

// ---- finished -------------------------------------------------------------------------------------------------------

test("finished may change how a run went, each plugin after the other", async () => {
  const forgiving: Plugin = {
    name: "forgiving",
    finished: (_, report) => (report.ok ? undefined : { ok: true, value: 1 }),
  }
  const adding: Plugin = {
    name: "adding",
    finished: (_, report) => (report.ok ? { ok: true, value: Number(report.value) + 1 } : undefined),
  }
  const record = await run("finished", [forgiving, adding], () => raise(new Error("forgive me")))
  expect(record).toMatchObject({ state: "succeeded", result: 2, attempts: 1, errors: [] })
})

test("finished may turn a result into a failure, or a directive", async () => {
  const strict: Plugin = { name: "strict", finished: () => ({ ok: false, error: new Error("not good enough") }) }
  expect(await run("finished-strict", [strict])).toMatchObject({
    state: "failed",
    attempts: 2,
    errors: [{ message: "not good enough" }, { message: "not good enough" }],
  })
  const harsh: Plugin = { name: "harsh", finished: () => ({ ok: true, value: discard("out") }) }
  expect(await run("finished-harsh", [harsh])).toMatchObject({
    state: "failed",
    attempts: 1,
    errors: [{ message: "out" }],
  })
})

test("a finished that throws is reported and skipped", async () => {
  const broken: Plugin = { name: "broken-finished", finished: () => raise(new Error("bug")) }
  expect(await run("finished-broken", [broken])).toMatchObject({ state: "succeeded", result: "result" })
  expect(skipped("broken-finished", "finished")).toHaveLength(1)
})

// ---- saving ---------------------------------------------------------------------------------------------------------

const record: Plugin["saving"] = {
  select: ({ state }) => state === "succeeded" || state === "failed" || state === "cancelled",
  async run(batch, tx) {
    for (const { job, state } of batch) await tx.query("insert into ledger values ($1, $2)", [job.id, state])
  },
}

test("saving writes in the transaction that settles the job", async () => {
  const keeping: Plugin = { name: "keeping", saving: record }
  const good = await run("saving-good", [keeping])
  const bad = await run("saving-bad", [keeping], () => raise(new Error("no")))
  expect(await ledger(good.id)).toEqual(["succeeded"])
  expect(await ledger(bad.id)).toEqual(["failed"]) // not at its first attempt, which was a retry
})

test("saving is told that a cancel has won", async () => {
  const open = gate()
  const job = defineJob({ name: "saving-cancelled" })
  await using _worker = await own.worker(app, {
    plugins: [{ name: "keeping", saving: record }],
    handlers: [job.handler(() => open.opened)],
  })
  const pushed = await app.push(job)
  await reached(app, pushed, "running")
  await pushed.cancel()
  open.open()
  await ended(app, pushed)
  expect(await ledger(pushed.id)).toEqual(["cancelled"])
})

test("settlements that no plugin selects do without", async () => {
  let asked = 0
  const choosy: Plugin = { name: "choosy", saving: { select: () => false, run: async () => void asked++ } }
  expect(await run("saving-unselected", [choosy])).toMatchObject({ state: "succeeded" })
  expect(asked).toBe(0)
})

for (const [what, error] of [
  ["throws", new Error("the ledger is full")],
  ["throws what sounds like a lost connection", new Error("the ledger is closed, and the account terminated")],
] as const) {
  test(`a saving that ${what} rolls the settlement back and is tried again, while others go on`, async () => {
    let broken = true
    let tries = 0
    let runs = 0
    const job = defineJob<string, string>({ name: `saving that ${what}`.replaceAll(" ", "-") })
    const stuck = new Set<string>()
    await using _worker = await own.worker(app, {
      plugins: [
        {
          name: "stuck",
          saving: {
            select: () => true,
            async run(batch, tx) {
              await record.run(batch, tx)
              if (!batch.some((one) => stuck.has(one.job.id))) return
              tries += 1
              if (broken) throw error
            },
          },
        },
      ],
      handlers: [
        job.handler((name, { id }) => {
          runs += 1
          if (name === "bad") stuck.add(id)
          return name
        }),
      ],
    })
    const [bad, ...good] = await app.pushMany(job, ["bad", ...range(20).map(String)])
    try {
      for (const { state } of await app.wait(good, { timeout: "10s" })) expect(state).toBe("succeeded")
      await until(() => tries > 2, "it is tried again")
      expect(await bad!.get()).toMatchObject({ state: "running" })
      expect(await ledger(bad!.id)).toEqual([])
      expect(log.lines).toContainEqual(
        expect.objectContaining({ level: "warn", message: expect.stringContaining("could not be saved yet") }),
      )
    } finally {
      broken = false
    }
    expect(await ended(app, bad!)).toMatchObject({ state: "succeeded", result: "bad", attempts: 1, claims: 1 })
    for (const one of [bad!, ...good]) expect(await ledger(one.id)).toEqual(["succeeded"])
    expect(runs).toBe(21)
  })
}

test("a saving whose select throws is reported, and the job settled without it", async () => {
  const broken: Plugin = {
    name: "broken-select",
    saving: { select: () => raise(new Error("bug")), run: async () => raise(new Error("not reached")) },
  }
  expect(await run("saving-select", [broken])).toMatchObject({ state: "succeeded" })
  expect(skipped("broken-select", "saving.select").length).toBeGreaterThan(0)
})

test("a job's own transaction takes the saving hooks along, and tells saved", async () => {
  const told: string[] = []
  const job = defineJob({ name: "saving-transaction" })
  await using worker = await own.worker(app, {
    plugins: [
      { name: "keeping", saving: record, saved: (batch) => void told.push(...batch.map(({ state }) => state)) },
    ],
    handlers: [job.handler((_, running) => running.transaction(() => {}))],
  })
  const pushed = await app.push(job)
  await ended(app, pushed)
  await worker.stop()
  expect(await ledger(pushed.id)).toEqual(["succeeded"])
  expect(told).toEqual(["succeeded"])
})

// ---- saved ----------------------------------------------------------------------------------------------------------

test("saved is told once the outcome is committed", async () => {
  const told: { state: string; id: string; stored: Promise<string> }[] = []
  const plugin: Plugin = {
    name: "telling",
    saved: (batch: readonly Ended[]) => {
      for (const { job, state } of batch)
        told.push({
          state,
          id: job.id,
          stored: app
            .job(job.id)
            .get()
            .then((found) => found!.state),
        })
    },
  }
  const { id } = await run("saved", [plugin], (attempt) => (attempt < 2 ? raise(new Error("no")) : "ok"))
  await until(() => told.length === 2, "both attempts were told")
  expect(told.map(({ state, id }) => ({ state, id }))).toEqual([
    { state: "retrying", id },
    { state: "succeeded", id },
  ])
  expect(await told[1]!.stored).toBe("succeeded")
})

test("a saved that throws is reported, and the next plugin is told all the same", async () => {
  const told: string[] = []
  const broken: Plugin = { name: "broken-saved", saved: () => raise(new Error("bug")) }
  const fine: Plugin = { name: "fine", saved: (batch) => void told.push(...batch.map(({ job }) => job.id)) }
  const { id } = await run("saved-broken", [broken, fine])
  await until(() => told.length === 1, "the other one was told")
  expect(told).toEqual([id])
  expect(skipped("broken-saved", "saved")).toHaveLength(1)
})

test("hooks that throw what cannot be made text of are skipped as well", async () => {
  const odd = () => raise(Object.create(null))
  const plugins: Plugin[] = [
    { name: "odd-around", around: async () => odd() },
    { name: "odd-finished", finished: odd },
    { name: "odd-select", saving: { select: odd, run: async () => {} } },
    { name: "odd-saved", saved: odd },
  ]
  const job = defineJob<undefined, string>({ name: "odd-hooks", maxAttempts: 1 })
  const worker = await own.worker(app, {
    plugins,
    shutdownTimeout: 500,
    grace: 100,
    handlers: [job.handler(() => "fine")],
  })
  const pushed = await app.push(job)
  await reached(app, pushed, "running")
  await until(async () => (await pushed.get())!.state !== "running" || worker.running === 0, "the handler is back")
  expect(await worker.stop()).toBe(true)
  expect(await pushed.get()).toMatchObject({ state: "succeeded", result: "fine" })
})

// ---- pushes, claims, and handlers of plugins ------------------------------------------------------------------------

test("aroundPush wraps each call once, whatever a plugin does around it, and what the push throws goes through", async () => {
  const seen: string[] = []
  const wrapping = (name: string, before?: () => void, after?: () => void): Plugin => ({
    name,
    async aroundPush({ name: job, queue, many }, next) {
      before?.()
      const ids = await next()
      seen.push(`${name} ${job} ${queue} ${many} ${ids.length}`)
      after?.()
      return [...ids, "of no interest"]
    },
  })
  const broken = () => raise(new Error("broken"))
  const plugins = [wrapping("early", broken), wrapping("late", undefined, broken), wrapping("fine")]
  const wrapped = await own.app({ logger: log, plugins, maxPayload: 100 })
  const job = defineJob<string>({ name: "wrapped" })
  const one = await wrapped.push(job, "x", { delay: "1h" })
  const many = await wrapped.pushMany(job, ["a", "b"], { queue: "side", delay: "1h" })
  expect(seen).toEqual([
    "fine wrapped default false 1",
    "late wrapped default false 1",
    "fine wrapped side true 2",
    "late wrapped side true 2",
  ])
  const stored = await own.pool.query("select id from millrace.jobs where name = 'wrapped'")
  expect(new Set(stored.rows.map(({ id }: { id: string }) => id))).toEqual(new Set([one, ...many].map(({ id }) => id)))
  expect(skipped("early", "aroundPush")).toHaveLength(2)
  expect(skipped("late", "aroundPush")).toHaveLength(2)
  await expect(wrapped.push(job, "x".repeat(200))).rejects.toMatchObject({ code: "MILLRACE_PAYLOAD_TOO_LARGE" })
  expect(skipped("fine", "aroundPush")).toEqual([])
})

test("a plugin is told what was claimed, with what an attempt failed, and brings handlers of its own", async () => {
  const job = defineJob<string>({ name: "brought", queue: "brought", maxAttempts: 1 })
  const taken: string[] = []
  const errors: unknown[] = []
  const plugin: Plugin = {
    name: "bringing",
    handlers: [job.handler(() => raise(Object.assign(new RangeError("no"), { code: "E_NO" })))],
    claimed({ queue, jobs, took }) {
      taken.push(...jobs.map(({ id }) => `${queue} ${id} ${took >= 0}`))
    },
    saved: (batch) => void errors.push(...batch.map(({ error }) => error)),
  }
  await using _worker = await own.worker(app, { plugins: [plugin] })
  const pushed = await app.push(job, "x")
  expect(await ended(app, pushed)).toMatchObject({ state: "failed" })
  expect(taken).toEqual([`brought ${pushed.id} true`])
  await until(() => errors.length === 1, "saved is told")
  expect(errors).toMatchObject([{ name: "RangeError", message: "no", code: "E_NO", attempt: 1 }])
})
