import { condition, defineJob, workflow, workflows, type Handler, type Millrace, type Workflows } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { z } from "zod"
import { fixture, rejection, until, type Fixture } from "../support/app.ts"

/*
 * What workflows do, through the public interface, with real workers on a real database.
 */

const add = defineJob<{ a: number; b: number }, number>({ name: "add", maxAttempts: 1 })
const echo = defineJob<unknown, unknown>({ name: "echo", maxAttempts: 1 })
const fails = defineJob<{ with: string }, string>({ name: "fails", maxAttempts: 1 })
const note = defineJob<{ what: string }, string>({ name: "note", maxAttempts: 1 })

let all: Fixture
let app: Millrace
const flows: Workflows = workflows({ sweep: "200ms" })
const notes: string[] = []
let broken = true

const handlers: Handler[] = [
  add.handler(({ a, b }) => a + b),
  echo.handler((payload) => payload),
  fails.handler((payload) => {
    if (broken) throw new Error(payload.with)
    return payload.with
  }),
  note.handler(({ what }) => {
    notes.push(what)
    return what
  }),
]

beforeAll(async () => {
  all = await fixture()
  app = await all.app({ plugins: [flows] })
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
