import { condition, defineJob, workflow, workflows, type Handler, type Millrace, type Workflows } from "millrace"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { z } from "zod"
import { obeying } from "../support/worker-fixture.ts"
import { fixture, rejection, until, type Fixture } from "../support/app.ts"

/*
 * What workflows do, through the public interface, with real workers on a real database.
 */

const add = defineJob<{ a: number; b: number }, number>({ name: "add", maxAttempts: 1 })
const echo = defineJob<unknown, unknown>({ name: "echo", maxAttempts: 1 })
const fails = defineJob<{ with: string }, string>({ name: "fails", maxAttempts: 1 })
const hold = defineJob<object, string>({ name: "hold", maxAttempts: 1 })
const grow = defineJob<{ n: number }, string>({ name: "grow", maxAttempts: 2, backoff: { initial: 0 } })
const narrow = defineJob<number, number>({ name: "narrow", queue: "narrow", maxAttempts: 1 })
const note = defineJob<{ what: string }, string>({ name: "note", maxAttempts: 1 })

let all: Fixture
let app: Millrace
const flows: Workflows = workflows({ sweep: "200ms" })
const notes: string[] = []
let broken = true
let grafts = 0
const atOnce = { now: 0, most: 0 }

const handlers: Handler[] = [
  add.handler(({ a, b }) => a + b),
  echo.handler((payload) => payload),
  fails.handler((payload) => {
    if (broken) throw new Error(payload.with)
    return payload.with
  }),
  hold.handler((_, { signal }) => obeying(signal)),
  grow.handler(async ({ n }, job) => {
    await flows.graft(
      job,
      (w, earlier) => {
        const grown = Array.from({ length: n }, (__, at) =>
          w.step(`grown-${at}`, echo, { n: at, first: earlier("first") }),
        )
        w.value("joined", grown.length, { after: grown })
      },
      { before: ["end"] },
    )
    if (++grafts === 1) throw new Error("not at the first attempt")
    return "planned"
  }),
  narrow.handler(async (n) => {
    atOnce.most = Math.max(atOnce.most, ++atOnce.now)
    await sleep(2) // long enough for others to come, if they may
    atOnce.now -= 1
    return n
  }),
  note.handler(({ what }) => {
    notes.push(what)
    return what
  }),
]

beforeAll(async () => {
  all = await fixture()
  app = await all.app({ plugins: [flows] })
  await app.declareQueue({ name: "narrow", globalConcurrency: 2 })
  await all.worker(app, { handlers })
})
afterAll(() => all.close())

const within = { timeout: "20s" } as const

test("steps get what they need from the input and from earlier steps, and the result is what was returned", async () => {
  const sum = workflow("sum", z.object({ a: z.number(), b: z.number().default(2) }), (w) => {
    const first = w.step("first", add, { a: w.input.a, b: w.input.b })
    const second = w.step("second", add, { a: first, b: 10 })
    return { first, both: [first.result, second.result], text: w.text`${first} then ${second}` }
  })
  const pushed = await flows.push(sum, { a: 1 })
  expect(await pushed.result(within)).toEqual({ first: 3, both: [3, 13], text: "3 then 13" })
  const record = (await pushed.get())!
  expect(record).toMatchObject({
    name: "sum",
    state: "succeeded",
    input: { a: 1, b: 2 },
    progress: { total: 2, ended: 2 },
  })
  expect(record.steps.map(({ key, state, result, needs, attempts }) => [key, state, result, needs, attempts])).toEqual([
    ["first", "succeeded", 3, [], 1],
    ["second", "succeeded", 13, ["first"], 1],
  ])
})

test("without a returned value, the result holds those of the last steps", async () => {
  const two = workflow<{ n: number }>("two-ends", (w) => {
    const start = w.step("start", add, { a: w.input.n, b: 1 })
    w.step("left", add, { a: start, b: 1 })
    w.step("right", add, { a: start, b: 2 })
  })
  expect(await (await flows.push(two, { n: 1 })).result(within)).toEqual({ left: 3, right: 4 })
})

test("a map runs a job per item within its window and returns their results in order", async () => {
  const mapped = workflow<{ list: number[] }>("mapped", (w) => {
    const items = w.map("item", add, w.input.list, (item, index) => ({ a: item, b: index }), { window: 3 })
    return w.step("all", echo, { items })
  })
  const list = Array.from({ length: 20 }, (_, n) => n * 10)
  const pushed = await flows.push(mapped, { list })
  expect(await pushed.result(within)).toEqual({ items: list.map((n, index) => n + index) })
  const items = await pushed.items("item", { from: 18 })
  expect(items.map(({ key, state, item, result }) => [key, state, item, result])).toEqual([
    ["item[18]", "succeeded", 18, 198],
    ["item[19]", "succeeded", 19, 209],
  ])
  expect(await (await flows.push(mapped, { list: [] })).result(within)).toEqual({ items: [] })
})

test("steps keep to the limits of their queue", async () => {
  const limited = workflow<number[]>("limited", (w) => w.map("item", narrow, w.input, (item) => item))
  const list = Array.from({ length: 20 }, (_, n) => n)
  expect(await (await flows.push(limited, list)).result(within)).toEqual(list)
  expect(atOnce).toEqual({ now: 0, most: 2 })
})

test("a step whose condition is false is skipped with those that need it, not with those that read `maybe`", async () => {
  const chosen = workflow<{ n: number }>("chosen", (w) => {
    const start = w.step("start", add, { a: w.input.n, b: 0 })
    const big = w.step("big", add, { a: start, b: 1 }, { when: condition.gt(start.result, 10) })
    w.step("bigger", add, { a: big, b: 1 })
    return w.step("end", echo, { start, big: big.maybe })
  })
  const small = await flows.push(chosen, { n: 1 })
  expect(await small.result(within)).toEqual({ start: 1 })
  expect((await small.get())!.steps.map(({ key, state }) => [key, state])).toEqual([
    ["start", "succeeded"],
    ["big", "skipped"],
    ["bigger", "skipped"],
    ["end", "succeeded"],
  ])
  expect(await (await flows.push(chosen, { n: 11 })).result(within)).toEqual({ start: 11, big: 12 })
})

test("a failed step fails its workflow, which tells why; what waited is skipped", async () => {
  const failing = workflow("failing", (w) => {
    const bad = w.step("bad", fails, { with: "no money" })
    w.step("after", echo, { bad })
  })
  const pushed = await flows.push(failing)
  const error = await rejection(pushed.result(within))
  expect(error).toMatchObject({ code: "MILLRACE_WORKFLOW_FAILED", cause: { message: "no money" } })
  expect(error.message).toMatch(/failed at step "bad": no money/)
  const record = (await pushed.get())!
  expect(record).toMatchObject({ state: "failed", failure: { step: "bad" } })
  expect(record.steps.map(({ state }) => state)).toEqual(["failed", "skipped"])
})

test("with `skip` the others go on; with `continue` what needs it runs as well", async () => {
  const lenient = workflow("lenient", (w) => {
    const skipped = w.step("skipped", fails, { with: "x" }, { onFailure: "skip" })
    const continued = w.step("continued", fails, { with: "y" }, { onFailure: "continue" })
    w.step("not", echo, { skipped })
    return w.step("yes", echo, { continued, skipped: skipped.maybe, kept: 1 })
  })
  const pushed = await flows.push(lenient)
  expect(await pushed.result(within)).toEqual({ kept: 1 })
  const record = (await pushed.get())!
  expect(Object.fromEntries(record.steps.map(({ key, state }) => [key, state]))).toEqual({
    skipped: "failed",
    continued: "failed",
    not: "skipped",
    yes: "succeeded",
  })
})

test("a compensated workflow undoes what was done, the last first, then has failed", async () => {
  const undone = workflow<{ items: string[] }>(
    "undone",
    (w) => {
      const one = w.step("one", note, { what: "do one" }).undo(note, (result) => ({ what: w.text`undo ${result}` }))
      const many = w
        .map("many", note, w.input.items, (item) => ({ what: w.text`do ${item}` }), { after: one })
        .undo(note, (result, item, index) => ({ what: w.text`undo ${item} ${index}` }))
      w.step("bad", fails, { with: "late" }, { after: many })
    },
    { onFailure: "compensate" },
  )
  notes.length = 0
  const pushed = await flows.push(undone, { items: ["a", "b"] })
  expect((await rejection(pushed.result(within))).code).toBe("MILLRACE_WORKFLOW_FAILED")
  expect(notes[0]).toBe("do one")
  expect(notes.slice(3, 5).sort()).toEqual(["undo a 0", "undo b 1"])
  expect(notes.at(-1)).toBe("undo do one")
  const record = (await pushed.get())!
  expect(record).toMatchObject({ state: "failed", undone: "all" })
  expect(record.steps[0]!.undo).toMatchObject({ state: "succeeded" })
})

test("a retry goes on from the failed step, with what had succeeded", async () => {
  const again = workflow<{ n: number }>("again", (w) => {
    const first = w.step("first", add, { a: w.input.n, b: 1 })
    const risky = w.step("risky", fails, { with: "later" }, { after: first })
    return w.step("last", echo, { first, risky })
  })
  broken = true
  const pushed = await flows.push(again, { n: 1 })
  await rejection(pushed.result(within))
  const [firstRun] = (await pushed.get())!.steps
  broken = false
  await pushed.retry()
  expect(await pushed.result(within)).toEqual({ first: 2, risky: "later" })
  const record = (await pushed.get())!
  expect(record.retries).toBe(1)
  expect(record.steps[0]!.jobId).toBe(firstRun!.jobId)
  expect(record.steps[1]!.runs).toMatchObject([{ state: "failed", attempts: 1, errors: [{ message: "later" }] }])
  // From a step that succeeded, and with another input.
  await pushed.retry({ from: ["first"], input: { n: 5 } })
  expect(await pushed.result(within)).toEqual({ first: 6, risky: "later" })
  expect((await rejection(pushed.retry())).code).toBe("MILLRACE_WORKFLOW_STATE")
  expect((await rejection(pushed.retry({ from: ["frist"] }))).message).toMatch(/no step "frist". Did you mean "first"/)
  broken = true
})

test("timers wait, signals come early, late, or not at all", async () => {
  const waiting = workflow<{ at: string }>("waiting", (w) => {
    const until = w.sleepUntil("until", w.input.at)
    const nap = w.sleep("nap", "20ms", { after: until })
    const approved = w.waitFor<{ by: string }>("approved", { after: nap })
    const early = w.waitFor<number>("early", { after: approved })
    const late = w.waitFor("late", { after: early, timeout: "30ms", onFailure: "continue" })
    return w.step("end", echo, { by: approved.result.by, early, late })
  })
  const pushed = await flows.push(waiting, { at: new Date(Date.now() + 50).toISOString() })
  await pushed.signal("early", 7)
  await until(
    async () => (await pushed.get())!.steps.find(({ key }) => key === "approved")!.state === "active",
    "it waits",
  )
  await pushed.signal("approved", { by: "Ada" })
  expect(await pushed.result(within)).toEqual({ by: "Ada", early: 7 })
  expect((await pushed.get())!.steps.find(({ key }) => key === "late")).toMatchObject({
    state: "failed",
    errors: [{ code: "MILLRACE_TIMEOUT" }],
  })
  expect((await rejection(pushed.signal("late"))).code).toBe("MILLRACE_WORKFLOW_STATE")
})

test("groups, sub-workflows, values and sequences are parts of one workflow", async () => {
  const pack = workflow<{ sku: string }>("pack", (w) => w.step("wrap", echo, { wrapped: w.input.sku }))
  const nested = workflow<{ sku: string; gift: boolean }>("nested", (w) => {
    const packed = w.run("pack", pack, { sku: w.input.sku })
    const gift = w.group("gift", (g) => g.step("card", echo, { for: packed }), {
      when: condition.eq(w.input.gift, true),
    })
    const one = w.step("one", note, { what: "sequence one" })
    const two = w.step("two", note, { what: "sequence two" })
    const last = w.sequence(one, two)
    return w.value("all", { packed, card: gift.maybe, last })
  })
  const pushed = await flows.push(nested, { sku: "cube", gift: true })
  const packed = { wrapped: "cube" }
  expect(await pushed.result(within)).toEqual({ packed, card: { for: packed }, last: "sequence two" })
  expect(notes.indexOf("sequence two")).toBeGreaterThan(notes.indexOf("sequence one"))
  const keys = (await pushed.get())!.steps.map(({ key }) => key)
  expect(keys).toEqual(expect.arrayContaining(["pack.input", "pack.wrap", "pack", "gift.start", "gift.card", "gift"]))
  expect(await (await flows.push(nested, { sku: "vase", gift: false })).result(within)).not.toHaveProperty("card")
})

test("a cancelled workflow starts nothing more, stops what runs, and may undo what was done", async () => {
  const slow = workflow<{ list: number[] }>("slow", (w) => {
    const done = w.step("done", note, { what: "to undo" }).undo(note, () => ({ what: "undone by cancel" }))
    const held = w.step("held", hold, {}, { after: done })
    w.map("later", echo, w.input.list, (item) => item, { after: held })
  })
  const pushed = await flows.push(slow, { list: [1, 2] })
  await until(async () => (await pushed.get())!.steps[1]!.jobState === "running", "it runs")
  expect(await pushed.cancel("no longer wanted", { compensate: true })).toBe(true)
  const error = await rejection(pushed.result(within))
  expect(error).toMatchObject({ code: "MILLRACE_CANCELLED" })
  expect(error.message).toMatch(/no longer wanted/)
  const record = (await pushed.get())!
  expect(record).toMatchObject({ state: "cancelled", undone: "all", cancel: { reason: "no longer wanted" } })
  expect(record.steps.map(({ state }) => state)).toEqual(["succeeded", "cancelled", "cancelled"])
  expect(notes).toContain("undone by cancel")
  expect(await pushed.cancel()).toBe(false)
})

test("a paused workflow starts nothing, and goes on where it was", async () => {
  const gates = workflow<{ list: number[] }>("gates", (w) => {
    const ready = w.waitFor("ready")
    const items = w.map("items", echo, w.input.list, (item) => item, { after: ready, window: 1 })
    return w.step("end", echo, { items })
  })
  const pushed = await flows.push(gates, { list: [1, 2, 3] })
  expect(await pushed.pause()).toBe(true)
  expect(await pushed.pause()).toBe(false)
  await pushed.signal("ready")
  const record = (await pushed.get())!
  expect([record.state, record.steps.map(({ state }) => state)]).toEqual([
    "paused",
    ["succeeded", "waiting", "waiting"],
  ])
  expect(await pushed.resume()).toBe(true)
  expect(await pushed.result(within)).toEqual({ items: [1, 2, 3] })
})

test("a push with the same id is the same push, also after the workflow has finished", async () => {
  const once = workflow<{ n: number }>("once", (w) => w.step("only", add, { a: w.input.n, b: 1 }))
  const id = "018f0000-0000-7000-8000-00000000abcd"
  const [first, second] = await Promise.all([flows.push(once, { n: 1 }, { id }), flows.push(once, { n: 1 }, { id })])
  expect(first.duplicate).not.toBe(second.duplicate)
  expect(await first.result(within)).toBe(2)
  expect((await flows.push(once, { n: 7 }, { id })).duplicate).toBe(true)
  expect(await flows.get<number>(id).result(within)).toBe(2)
})

test("a workflow pushed in a transaction exists if it commits", async () => {
  const once = workflow<{ n: number }>("in-tx", (w) => w.step("only", add, { a: w.input.n, b: 1 }))
  const client = await all.pool.connect()
  try {
    await client.query("begin")
    const gone = await flows.push(once, { n: 1 }, { tx: client })
    await client.query("rollback")
    expect(await gone.get()).toBeUndefined()
    await client.query("begin")
    const kept = await flows.push(once, { n: 2 }, { tx: client })
    expect(await kept.get()).toBeUndefined()
    await client.query("commit")
    expect(await kept.result(within)).toBe(3)
  } finally {
    client.release()
  }
})

test("a step whose job is cancelled while it waits, deleted, or lost too often, ends, and its workflow with it", async () => {
  const later = workflow("later", (w) => {
    const delayed = w.step("delayed", echo, {}, { delay: "1h" })
    w.step("after", echo, { delayed })
  })
  const ends = async (end: (job: string) => Promise<unknown>) => {
    const pushed = await flows.push(later)
    await end((await pushed.get())!.steps[0]!.jobId!)
    await rejection(pushed.result(within))
    return (await pushed.get())!
  }
  const states = ({ state, steps }: { state: string; steps: readonly { state: string }[] }) => [
    state,
    ...steps.map((step) => step.state),
  ]
  expect(states(await ends((job) => app.job(job).cancel()))).toEqual(["failed", "cancelled", "skipped"])
  expect(states(await ends(() => app.cancelAll({ name: "echo", state: "scheduled" })))).toEqual([
    "failed",
    "cancelled",
    "skipped",
  ])
  const deleted = await ends((job) => app.job(job).delete())
  expect(states(deleted)).toEqual(["failed", "cancelled", "skipped"])
  expect(deleted.failure?.error).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  expect(states(await ends(() => app.deleteAll({ name: "echo", state: "scheduled" })))[0]).toBe("failed")
})

test("pruned and deleted records of finished jobs change nothing", async () => {
  const long = workflow<{ n: number }>("long", (w) => {
    const first = w.step("first", add, { a: w.input.n, b: 1 }, { retention: "none" })
    const go = w.waitFor("go", { after: first })
    return w.step("last", add, { a: first, b: 1 }, { after: go })
  })
  const pushed = await flows.push(long, { n: 1 })
  await until(async () => (await pushed.get())!.steps[0]!.state === "succeeded", "the first has ended")
  await all.pool.query("delete from millrace.jobs_history")
  await pushed.signal("go")
  expect(await pushed.result(within)).toBe(3)
})

test("a running step adds steps behind itself; another attempt replaces them", async () => {
  const growing = workflow<{ n: number }>("growing", (w) => {
    const first = w.step("first", add, { a: w.input.n, b: 1 })
    const plan = w.step("plan", grow, { n: w.input.n }, { after: first })
    return w.step("end", echo, { plan })
  })
  const pushed = await flows.push(growing, { n: 2 })
  expect(await pushed.result(within)).toEqual({ plan: "planned" })
  const record = (await pushed.get())!
  expect(record.steps.map(({ key, result }) => [key, result])).toEqual([
    ["first", 3],
    ["plan", "planned"],
    ["end", { plan: "planned" }],
    ["grown-0", { n: 0, first: 3 }],
    ["grown-1", { n: 1, first: 3 }],
    ["joined", ["grown-0", "grown-1"].length],
  ])
  expect(record.steps.find(({ key }) => key === "end")!.needs.toSorted()).toEqual(["joined", "plan"])
  expect(grafts).toBe(2)
})

test.each([
  ["is empty", () => workflow("x", () => {}), /"x" has no steps/],
  ["has a step twice", () => workflow("x", (w) => [w.sleep("a", 1), w.sleep("a", 1)]), /two steps called "a"/],
  [
    "waits for an unknown step",
    () => workflow("x", (w) => void [w.sleep("first", 1), w.sleep("b", 1, { after: "frist" })]),
    /"b" comes after "frist", which is not there. Did you mean "first"/,
  ],
  [
    "goes round",
    () =>
      workflow(
        "x",
        (w) => void [w.sleep("a", 1, { after: "c" }), w.sleep("b", 1, { after: "a" }), w.sleep("c", 1, { after: "b" })],
      ),
    /circle: (a → b → c → a|b → c → a → b|c → a → b → c)/,
  ],
  [
    "uses a stand-in as a value",
    () => workflow<{ n: number }>("x", (w) => w.step("a", echo, `${w.input.n as never}`)),
    /"input.n" stands for a value that is not there yet/,
  ],
  [
    "has an option that is not known",
    () => workflow("x", (w) => w.sleep("a", 1, { dependencies: [] } as never)),
    /no option "dependencies". It is called "after"/,
  ],
  [
    "has a payload that is no JSON",
    () => workflow("x", (w) => w.step("a", echo, { n: NaN })),
    /cannot be stored as JSON: \$\.n is NaN/,
  ],
  ["is given a bad condition", () => workflow("x", (w) => w.step("a", echo, 1, { when: true as never })), /condition/],
  ["has a bad name", () => workflow("x", (w) => w.sleep("a b", 1)), /name of a step/],
])("a workflow that %s is refused where it is defined", (_, define, message) => {
  expect(define).toThrow(message)
})

test("what a schema refuses is never stored", async () => {
  const strict = defineJob({ name: "strict", payload: z.object({ n: z.number().max(10) }) })
  const checked = workflow("checked", z.object({ n: z.number() }), (w) => w.step("step", strict, { n: w.input.n }))
  expect((await rejection(flows.push(checked, { n: "1" } as never))).message).toMatch(
    /payload of "checked" was refused/,
  )
  const refused = await rejection(flows.push(checked, { n: 11 }))
  expect(refused).toMatchObject({ code: "MILLRACE_BAD_PAYLOAD" })
  expect(refused.message).toMatch(/"strict" of step "step"/)
  expect((await flows.find({ name: "checked" })).workflows).toEqual([])
  const small = workflows({ maxSteps: 1 })
  await using other = await all.app({ plugins: [small], schema: "other" })
  const two = workflow("two", (w) => void [w.sleep("a", 1), w.sleep("b", 1)])
  expect((await rejection(small.push(two))).code).toBe("MILLRACE_WORKFLOW_TOO_LARGE")
  await other.close()
})

test("workflows are found by state and name, a page at a time, and deleted by rule", async () => {
  const kept = workflow<{ n: number }>("find-me", (w) => w.step("only", add, { a: w.input.n, b: 1 }))
  const pushed = await flows.pushMany(kept, [{ n: 1 }, { n: 2 }, { n: 3 }])
  for (const one of pushed) await one.result(within)
  const first = await flows.find({ name: "find-*", state: ["succeeded"], limit: 2 })
  expect(first.workflows.map(({ id }) => id)).toEqual([pushed[2]!.id, pushed[1]!.id])
  const second = await flows.find({ name: "find-*", limit: 2, cursor: first.cursor! })
  expect(second).toMatchObject({ workflows: [{ id: pushed[0]!.id, steps: { total: 1, ended: 1 } }], cursor: undefined })
  expect(await flows.deleteAll({ name: "find-*", olderThan: "1h" })).toBe(0)
  expect(await flows.deleteAll({ name: "find-*", state: ["succeeded"] })).toBe(3)
  expect(await pushed[0]!.get()).toBeUndefined()
  expect((await rejection(pushed[0]!.result(within))).code).toBe("MILLRACE_UNKNOWN_WORKFLOW")
})

test("a workflow draws itself with the states of its steps", async () => {
  const drawn = workflow("drawn", (w) => {
    const a = w.step("a", add, { a: 1, b: 1 })
    w.step("say.hello", echo, { a }, { delay: "1h" })
  })
  const pushed = await flows.push(drawn)
  await until(async () => (await pushed.get())!.steps[0]!.state === "succeeded", "the first has ended")
  expect(await pushed.dot()).toContain('"a" -> "say.hello"')
  expect(await pushed.dot()).toContain('"say.hello" [label="say.hello\\nscheduled"')
  expect(await pushed.mermaid()).toContain("s0 --> s1")
  expect(await pushed.mermaid()).toContain('s0["a<br>succeeded"]:::succeeded')
  await pushed.cancel()
})

test("the hub tells of workflows and their steps", async () => {
  const told: unknown[] = []
  const removers = [
    app.hub.on("workflow.created", ({ body }) => void told.push(["created", body.name])),
    app.hub.on("workflow.step.completed", ({ body }) => void told.push(["step", body.step, body.state])),
    app.hub.on("workflow.finished", ({ body }) => void told.push(["finished", body.name, body.state])),
  ]
  const telling = workflow("telling", (w) => w.step("only", add, { a: 1, b: 1 }))
  await (await flows.push(telling)).result(within)
  await until(() => told.length === 3, "all is told")
  for (const remove of removers) remove()
  expect(told).toEqual(expect.arrayContaining([["created", "telling"], ["step", "only", "succeeded"], ["finished", "telling", "succeeded"]])) // prettier-ignore
})

test("of workflows that finish together, more than one notification can hold, each is told", async () => {
  const one = workflow<number>("finishes-with-others-and-has-a-long-name", (w) => w.step("only", echo, w.input))
  const told = new Set<string>()
  const remove = app.hub.on("workflow.finished", ({ body }) => void told.add(body.id))
  await app.pauseQueue("default")
  const pushed = await flows.pushMany(
    one,
    Array.from({ length: 200 }, (_, n) => n),
  )
  await app.resumeQueue("default")
  await until(() => pushed.every(({ id }) => told.has(id)), "all of them are told")
  remove()
})
