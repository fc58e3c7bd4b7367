import { threadId } from "node:worker_threads"
import { defineFlow, defineJob, discard, flows, isMillraceError, type Flow, type FlowsPlugin } from "millrace"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { z } from "zod"
import { gate } from "../support/app.ts"
import { startApp, until, type StartOptions } from "../support/start-app.ts"
import { raise } from "../support/worker-fixture.ts"
import { away } from "./flow-module.ts"

const timeout = "20s"
const atOnce = { backoff: { initial: 0 } }

/** An app with the plugin, and what the handlers of a test count. */
async function start(options: StartOptions = {}) {
  const plugin = flows({ sweep: "200ms" })
  const scene = await startApp({ ...options, app: { ...options.app, plugins: [plugin] } })
  return { ...scene, flows: plugin }
}

const waits = (plugin: FlowsPlugin, id: string, state: "waiting" | "sleeping") =>
  until(async () => (await plugin.get(id))?.state === state)

test("a flow is pushed like a job, runs its steps once each, and has a typed result", async () => {
  const ran: string[] = []
  const order = defineFlow("order", async (flow, { item }: { item: string }) => {
    const price = await flow.step("price", () => {
      ran.push("price")
      return { cents: item.length * 100 }
    })
    const paid = await flow.step("pay", ({ attempt, idempotencyKey }) => {
      ran.push(`pay ${attempt} ${idempotencyKey.slice(-4)}`)
      return price.cents > 100
    })
    return { item, paid }
  })
  const { app, flows: plugin } = await start({ handlers: [order] })
  const job = await app.push(order, { item: "book" })
  expect(await job.result({ timeout })).toEqual({ item: "book", paid: true })
  expect(ran).toEqual(["price", "pay 1 :pay"])
  const record = (await plugin.get(job.id))!
  expect(record).toMatchObject({ name: "order", state: "succeeded", executions: 1, result: { paid: true } })
  expect(record.steps).toMatchObject([
    { key: "price", kind: "step", status: "done", value: { cents: 400 }, attempts: 1 },
    { key: "pay", kind: "step", status: "done", value: true, attempts: 1 },
  ])
})

test("a sleep gives up the slot, and the steps before it are not run again", async () => {
  let charged = 0
  const nap = defineFlow("nap", async (flow) => {
    await flow.step("charge", () => void (charged += 1))
    const before = await flow.now()
    await flow.sleep("300ms")
    const after = await flow.now()
    return after.getTime() - before.getTime()
  })
  const { app, flows: plugin } = await start({ handlers: [nap], queues: [{ name: "default", concurrency: 1 }] })
  const jobs = await app.pushMany(nap, [undefined, undefined, undefined])
  const [first] = await Promise.all(jobs.map((job) => job.result({ timeout })))
  expect(first).toBeGreaterThanOrEqual(300)
  expect(charged).toBe(3)
  const record = (await plugin.get(jobs[0]!.id))!
  expect(record.executions).toBe(2)
  expect((await jobs[0]!.get())!.attempts).toBe(1)
})

test("a signal wakes the flow that waits for it, and one that came before is taken at once", async () => {
  const approval = defineFlow("approval", async (flow) => {
    const first = await flow.waitFor<{ by: string }>("approved", { timeout: "1h" })
    const second = await flow.waitFor("again", { schema: z.object({ n: z.string().transform(Number) }) })
    return [first.by, second.n]
  })
  const { app, flows: plugin } = await start({ handlers: [approval] })
  const job = await app.push(approval)
  await plugin.signal(job.id, "again", { n: "7" })
  await waits(plugin, job.id, "waiting")
  expect((await plugin.get(job.id))!.waitingFor).toMatchObject([
    { kind: "signal", name: "approved", status: "waiting" },
  ])
  expect((await plugin.get(job.id))!.signals).toMatchObject([{ name: "again", payload: { n: "7" } }])
  await plugin.signal(job.id, "approved", { by: "Ada" })
  expect(await job.result({ timeout })).toEqual(["Ada", 7])
})

test("signals of one name are taken in the order they came; a key makes two one", async () => {
  const two = defineFlow("two", async (flow) => [await flow.waitFor("n"), await flow.waitFor("n")])
  const { app, flows: plugin } = await start({ handlers: [two] })
  const job = await app.push(two)
  await plugin.signal(job.id, "n", 1, { key: "one" })
  await plugin.signal(job.id, "n", 1, { key: "one" })
  await plugin.signal(job.id, "n", 2)
  expect(await job.result({ timeout })).toEqual([1, 2])
})

test("a signal that does not come in time is an error that the flow can catch", async () => {
  const patient = defineFlow("patient", async (flow) => {
    try {
      await flow.waitFor("never", { timeout: "50ms" })
      return "came"
    } catch (error) {
      return isMillraceError(error) ? error.code : "other"
    }
  })
  const { app } = await start({ handlers: [patient] })
  expect(await (await app.push(patient)).result({ timeout })).toBe("MILLRACE_TIMEOUT")
})

test("a signal in a transaction arrives when it commits, and not when it rolls back", async () => {
  const wait = defineFlow("wait", async (flow) => flow.waitFor("go"))
  const { app, flows: plugin, pool } = await withPool({ handlers: [wait] })
  const job = await app.push(wait)
  await waits(plugin, job.id, "waiting")
  const tx = await pool.connect()
  await tx.query("begin")
  await plugin.signal(job.id, "go", "rolled back", { tx })
  await tx.query("rollback")
  await tx.query("begin")
  await plugin.signal(job.id, "go", "committed", { tx })
  await tx.query("commit")
  tx.release()
  expect(await job.result({ timeout })).toBe("committed")
})

async function withPool(options: StartOptions) {
  const scene = await start(options)
  const pool = new pg.Pool({ connectionString: scene.url, max: 2 })
  onTestFinished(() => pool.end())
  return { ...scene, pool }
}

const double = defineJob<{ n: number }, { twice: number }>({ name: "double" })

test("a pushed job is pushed once; its result comes back, its failure rejects with its error", async () => {
  const fails = defineJob<null, never>({ name: "fails", maxAttempts: 1 })
  const family = defineFlow("family", async (flow, n: number) => {
    const children = await Promise.all([flow.push(double, { n }), flow.push(double, { n: n + 1 })])
    const results = await Promise.all(children.map((child) => child.result()))
    const failure = await flow.run(fails, null).catch((error: unknown) => error as Error)
    const { code, cause } = failure as Error & { code?: string; cause: Error }
    return { results, failure: [code, cause.message] }
  })
  const {
    app,
    flows: plugin,
    sql,
  } = await start({
    handlers: [
      family,
      double.handler(({ n }) => ({ twice: 2 * n })),
      fails.handler(() => {
        throw new Error("out of paper")
      }),
    ],
    queues: [{ name: "default", concurrency: 1 }],
  })
  const job = await app.push(family, 5)
  expect(await job.result({ timeout })).toEqual({
    results: [{ twice: 10 }, { twice: 12 }],
    failure: ["MILLRACE_JOB_FAILED", "out of paper"],
  })
  expect(await sql("select count(*)::int as n from $schema.all_jobs where name = 'double'")).toEqual([{ n: 2 }])
  expect((await plugin.get(job.id))!.steps.map(({ key }) => key)).toEqual([
    "double",
    "double#2",
    "double.result",
    "double~2.result",
    "fails",
    "fails.result",
  ])
})

test("a flow may push flows, and a job that keeps nothing still tells how it ended", async () => {
  const quiet = defineJob<number, number>({ name: "quiet", retention: "none" })
  const inner = defineFlow("inner", async (flow, n: number) => {
    await flow.sleep("20ms")
    return (await flow.run(quiet, n)) + 1
  })
  const outer = defineFlow("outer", async (flow, n: number) => flow.run(inner, n))
  const { app } = await start({ handlers: [outer, inner, quiet.handler((n) => n * 10)] })
  expect(await (await app.push(outer, 4)).result({ timeout })).toBe(41)
})

test("a flow hears of a job that was cancelled before it started, and of one that was deleted", async () => {
  const idle = defineJob<null>({ name: "idle", queue: "idle" })
  const parent = defineFlow("parent", async (flow) => {
    const [one, two] = [await flow.push(idle, null), await flow.push(idle, null)]
    const codeOf = (error: unknown) => (error as { code: string }).code
    return [await one.result().catch(codeOf), await two.result().catch(codeOf)]
  })
  const { app, flows: plugin } = await start({ handlers: [parent], queues: [{ name: "idle", tags: [] }] })
  const job = await app.push(parent)
  await waits(plugin, job.id, "waiting")
  const children = (await plugin.get(job.id))!.steps.flatMap((step) => (step.job ? [step.job] : []))
  await app.job(children[0]!).cancel()
  await app.job(children[1]!).delete()
  expect(await job.result({ timeout })).toEqual(["MILLRACE_CANCELLED", "MILLRACE_UNKNOWN_JOB"])
})

test("a failed step is tried again without charging the job; out of attempts its error is stored and thrown", async () => {
  let tries = 0
  let refunds = 0
  const shaky = defineFlow("shaky", async (flow) => {
    const third = await flow.step(
      "third time",
      ({ attempt }) => {
        tries += 1
        if (attempt < 3) throw new Error("not yet")
        return attempt
      },
      { retry: atOnce },
    )
    try {
      await flow.step("ship", () => Promise.reject(new Error("no ship")), { retry: { maxAttempts: 2, ...atOnce } })
    } catch (error) {
      await flow.step("refund", () => void (refunds += 1))
      await flow.sleep("20ms")
      return [third, (error as { code: string }).code, ((error as Error).cause as Error).message]
    }
    return []
  })
  const { app } = await start({ handlers: [shaky] })
  const job = await app.push(shaky)
  expect(await job.result({ timeout })).toEqual([3, "MILLRACE_STEP_FAILED", "no ship"])
  expect([tries, refunds]).toEqual([3, 1])
  expect((await job.get())!.attempts).toBe(1)
})

test("a flow that fails for a stored failure fails at once; resume tries the last step again", async () => {
  let broken = true
  let first = 0
  const fragile = defineFlow("fragile", async (flow) => {
    await flow.step("first", () => void (first += 1))
    return flow.step(
      "last",
      () => {
        if (broken) raise(discard("the printer burns"))
        return "printed"
      },
      { retry: { maxAttempts: 9 } },
    )
  })
  const { app, flows: plugin } = await start({ handlers: [fragile] })
  const job = await app.push(fragile)
  await expect(job.result({ timeout })).rejects.toMatchObject({ code: "MILLRACE_JOB_FAILED" })
  expect(await plugin.get(job.id)).toMatchObject({ state: "failed", error: { code: "MILLRACE_STEP_FAILED" } })
  expect((await job.get())!.attempts).toBe(1)
  broken = false
  await plugin.resume(job.id)
  expect(await job.result({ timeout })).toBe("printed")
  expect(first).toBe(1)
  await plugin.resume(job.id, { from: "first" })
  await until(async () => first === 2)
})

test("what a transaction step writes commits with its result, once, however often the flow runs", async () => {
  const book = defineFlow("book", async (flow, schema: string) => {
    const id = await flow.transaction("insert", async (tx) => {
      const { rows } = await tx.query<{ id: number }>(`insert into ${schema}.ledger default values returning id`)
      return rows[0]!.id
    })
    await flow.sleep("20ms")
    const failed = await flow
      .transaction(
        "refused",
        async (tx) => {
          await tx.query(`insert into ${schema}.ledger default values`)
          throw new Error("changed my mind")
        },
        { retry: { maxAttempts: 2, ...atOnce } },
      )
      .catch((error: unknown) => (error as { code: string }).code)
    return { id, failed }
  })
  const { app, sql, schema } = await start({ handlers: [book] })
  await sql("create table $schema.ledger (id integer generated always as identity)")
  const job = await app.push(book, schema)
  expect(await job.result({ timeout })).toEqual({ id: 1, failed: "MILLRACE_STEP_FAILED" })
  expect(await sql("select count(*)::int as n from $schema.ledger")).toEqual([{ n: 1 }])
})

test("parallel steps run side by side, and a race ends at every replay as it did the first time", async () => {
  const slow = gate()
  const runs: string[] = []
  const race = defineFlow("race", async (flow) => {
    const winner = await Promise.race([
      flow.step("slow", async () => {
        runs.push("slow")
        await slow.opened
        return "slow"
      }),
      flow.step("fast", () => {
        runs.push("fast")
        return "fast"
      }),
    ])
    slow.open()
    await flow.sleep("50ms")
    return `${winner} ${await flow.step("then", () => "won")}`
  })
  const { app, flows: plugin } = await start({ handlers: [race] })
  const job = await app.push(race)
  expect(await job.result({ timeout })).toBe("fast won")
  expect(runs).toEqual(["slow", "fast"])
  expect((await plugin.get(job.id))!.executions).toBe(2)
})

test.each([true, false])(
  "a sleep or a signal may win against a step that runs; notifications: %s",
  async (notifications) => {
    const never = gate()
    const limited = defineFlow("limited", async (flow) => {
      const slow = (id: string) => flow.step(id, () => never.opened.then(() => "step"))
      const first = await Promise.race([slow("a"), flow.sleep("20ms").then(() => "sleep")])
      const second = await Promise.race([slow("b"), flow.waitFor<string>("now")])
      return [first, second]
    })
    const { app, flows: plugin } = await start({ handlers: [limited], app: { notifications } })
    const job = await app.push(limited)
    await until(async () => (await plugin.get(job.id))?.steps.some((step) => step.kind === "signal"))
    await plugin.signal(job.id, "now", "signal")
    expect(await job.result({ timeout })).toEqual(["sleep", "signal"])
    never.open()
  },
)

test("time, random numbers and UUIDs are the same at every replay", async () => {
  const seen: unknown[] = []
  const chance = defineFlow("chance", async (flow) => {
    seen.push([await flow.now(), await flow.random(), await flow.uuid(), await flow.uuid()])
    await flow.sleep("20ms")
    return seen.length
  })
  const { app } = await start({ handlers: [chance] })
  expect(await (await app.push(chance)).result({ timeout })).toBe(2)
  expect(seen[0]).toEqual(seen[1])
  expect((seen[0] as unknown[])[2]).not.toBe((seen[0] as unknown[])[3])
})

test("a flow that waits is cancelled at once; one that runs has its signal fired in the step", async () => {
  const started = gate()
  const long = defineFlow("long", async (flow, how: "wait" | "run") => {
    let compensated = 0
    try {
      if (how === "wait") await flow.waitFor("never")
      await flow.step("work", ({ signal }) => {
        started.open()
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
      })
    } catch {
      compensated += 1
    }
    return compensated
  })
  const { app, flows: plugin } = await start({ handlers: [long] })
  const [waiting, running] = [await app.push(long, "wait"), await app.push(long, "run")]
  await waits(plugin, waiting.id, "waiting")
  expect(await plugin.cancel(waiting.id, "not needed")).toBe("cancelled")
  expect(await plugin.get(waiting.id)).toMatchObject({ state: "cancelled", waitingFor: [] })
  await started.opened
  expect(await plugin.cancel(running.id)).toBe("requested")
  await expect(running.result({ timeout })).rejects.toMatchObject({ code: "MILLRACE_CANCELLED" })
  await until(async () => (await plugin.get(running.id))!.state === "cancelled")
})

test("runs are listed newest first, by state and name, a page at a time", async () => {
  const a = defineFlow("a", async (flow) => flow.waitFor("go"))
  const b = defineFlow("b", () => "done")
  const { app, flows: plugin } = await start({ handlers: [a, b] })
  const jobs = await app.pushMany(a, [undefined, undefined, undefined])
  const done = await app.push(b)
  await done.result({ timeout })
  for (const job of jobs) await waits(plugin, job.id, "waiting")
  const first = await plugin.list({ state: "waiting", limit: 2 })
  const second = await plugin.list({ state: "waiting", limit: 2, cursor: first.cursor! })
  expect([...first.flows, ...second.flows].map(({ id }) => id)).toEqual(jobs.map(({ id }) => id).toReversed())
  expect((await plugin.list({ name: "b" })).flows).toMatchObject([{ id: done.id, state: "succeeded" }])
  await expect(plugin.list({ limit: 0 })).rejects.toMatchObject({ code: "MILLRACE_BAD_OPTION" })
})

test("a signal to nobody, and to one that has finished, is refused", async () => {
  const quick = defineFlow("quick", () => 1)
  const { app, flows: plugin } = await start({ handlers: [quick] })
  const job = await app.push(quick)
  await job.result({ timeout })
  await expect(plugin.signal(job.id, "x")).rejects.toMatchObject({ code: "MILLRACE_JOB_FINISHED" })
  await expect(plugin.signal(crypto.randomUUID(), "x")).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  await expect(plugin.signal("x", "x")).rejects.toMatchObject({ code: "MILLRACE_BAD_ID" })
})

test("more steps or bytes than the limits allow end the flow with what to do", async () => {
  const many = defineFlow("many", async (flow) => {
    for (let n = 0; n < 100; n++) await flow.step("one", () => n)
  })
  const large = defineFlow("large", async (flow) => flow.step("large", () => "x".repeat(5_000)))
  const plugin = flows({ maxSteps: 3, maxBytes: 4_000 })
  const { app } = await startApp({ handlers: [many, large], app: { plugins: [plugin] } })
  for (const definition of [many, large]) {
    const error = (await app.wait([await app.push(definition)], { timeout }))[0]!.errors.at(-1)!
    expect(error.code).toBe("MILLRACE_FLOW_TOO_LARGE")
  }
})

test("a flow on an app without the plugin says what is missing", async () => {
  const lost = defineFlow({ name: "lost", maxAttempts: 1 }, async (flow: Flow) => flow.step("a", () => 1))
  const { app } = await startApp({ handlers: [lost] })
  const [record] = await app.wait([await app.push(lost)], { timeout })
  expect(record!.errors).toMatchObject([{ code: "MILLRACE_UNKNOWN_PLUGIN" }])
})

test.each(["thread", "process"])("a flow runs in a %s as it does here", async (executor) => {
  const queues = [{ name: "default", executor }]
  const {
    app,
    flows: plugin,
    sql,
    schema,
  } = await start({ handlers: [new URL("./flow-module.ts", import.meta.url)], queues })
  await sql("create table $schema.ledger (id integer generated always as identity)")
  const job = await app.push(away, { schema })
  await waits(plugin, job.id, "waiting")
  await plugin.signal(job.id, "word", "please")
  const { where, ...rest } = await job.result({ timeout })
  expect(rest).toEqual({ row: 1, word: "please" })
  expect(where).not.toBe(`${process.pid} ${threadId}`)
  expect(await plugin.get(job.id)).toMatchObject({ state: "succeeded", executions: 2 })
})

test("an error of a transaction's own code is a failed attempt, whatever it says", async () => {
  const shop = defineFlow("shop", (flow) =>
    flow.transaction("open", () => Promise.reject(new Error("the shop is closed")), {
      retry: { maxAttempts: 2, ...atOnce },
    }),
  )
  const { app } = await start({ handlers: [shop] })
  const [record] = await app.wait([await app.push(shop)], { timeout })
  expect(record!.errors).toMatchObject([
    { code: "MILLRACE_STEP_FAILED", message: expect.stringContaining("2 attempts: the shop is closed") as string },
  ])
})

test("the timeline says when steps began and ended", async () => {
  const [began, end] = [gate(), gate()]
  const timed = defineFlow("timed", (flow) =>
    flow.step("slow", async () => {
      began.open()
      await end.opened
    }),
  )
  const { app, flows: plugin } = await start({ handlers: [timed] })
  const job = await app.push(timed)
  await began.opened
  const since = performance.now()
  await until(() => performance.now() > since + 60)
  end.open()
  await job.result({ timeout })
  const [step] = (await plugin.get(job.id))!.steps
  expect(step!.finishedAt!.getTime() - step!.startedAt.getTime()).toBeGreaterThanOrEqual(60)
})

test("a step that lost a race hears when the flow ends without it", async () => {
  const heard = gate<string>()
  const race = defineFlow("race", (flow) =>
    Promise.race([
      flow.step("slow", ({ signal }) => {
        signal.addEventListener("abort", () => heard.open((signal.reason as { code: string }).code))
        return heard.opened
      }),
      flow.sleep("20ms"),
    ]),
  )
  const { app } = await start({ handlers: [race] })
  await (await app.push(race)).result({ timeout })
  expect(await heard.opened).toBe("MILLRACE_CANCELLED")
})
