import { cancel, defineJob, discard, snooze, type Millrace } from "millrace"
import { z } from "zod"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, waitedFor, type Fixture } from "../support/app.ts"
import { atOnce, fired, raise, range } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

test("one call runs several jobs, and each has an outcome of its own", async () => {
  const mixed = defineJob<string, string>({ name: "mixed", maxAttempts: 1 })
  const kinds = ["fine", "error", "discard", "cancel", "snooze"]
  const jobs = await app.pushMany(mixed, kinds)
  const calls: number[] = []
  const outcome = {
    error: new Error("mine alone"),
    discard: discard("never"),
    cancel: cancel("no"),
    snooze: snooze("1h"),
  }
  await using _worker = await own.worker(app, {
    handlers: [
      mixed.batch({ size: 10 }, (batch) => {
        calls.push(batch.length)
        return batch.map(({ payload }) => outcome[payload as keyof typeof outcome] ?? `${payload} indeed`)
      }),
    ],
  })
  const records = await app.wait(jobs, { states: ["succeeded", "failed", "cancelled", "scheduled"], timeout: "20s" })
  expect(records.map(({ state }) => state)).toEqual(["succeeded", "failed", "failed", "cancelled", "scheduled"])
  expect(records.map(({ errors }) => errors[0]?.message)).toEqual([undefined, "mine alone", "never", "no", undefined])
  expect(records[0]!.result).toBe("fine indeed")
  expect(records[4]!.attempts).toBe(0)
  expect(calls).toEqual([5])
})

test("a batch handler that returns nothing has succeeded with all of them", async () => {
  const silent = defineJob<number>({ name: "silent" })
  const jobs = await app.pushMany(silent, range(7))
  await using _worker = await own.worker(app, { handlers: [silent.batch({ size: 7 }, async () => {})] })
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ state, result }) => [state, result])).toEqual(range(7).map(() => ["succeeded", undefined]))
})

for (const [what, returned, says] of [
  ["too few entries", [1], "1 entries"],
  ["too many entries", [1, 2, 3, 4], "4 entries"],
  ["something else", "text", "string"],
] as const) {
  test(`a batch handler that returns ${what} fails each job with MILLRACE_BAD_BATCH`, async () => {
    const wrong = defineJob<number>({ name: `wrong-${returned.length}-${typeof returned}`, maxAttempts: 1 })
    const jobs = await app.pushMany(wrong, range(3))
    await using _worker = await own.worker(app, { handlers: [wrong.batch({ size: 3 }, () => returned as never)] })
    for (const { state, errors } of await app.wait(jobs, { timeout: "20s" })) {
      expect({ state, code: errors[0]?.code }).toEqual({ state: "failed", code: "MILLRACE_BAD_BATCH" })
      expect(errors[0]!.message).toContain("got 3 jobs")
      expect(errors[0]!.message).toContain(says)
    }
  })
}

test("what a batch handler throws fails all of them, and each is tried again", async () => {
  const shaky = defineJob<number, string>({ name: "shaky", backoff: atOnce })
  const jobs = await app.pushMany(shaky, range(4))
  let calls = 0
  await using _worker = await own.worker(app, {
    handlers: [shaky.batch({ size: 4 }, (batch) => (++calls === 1 ? raise(new Error("all")) : batch.map(() => "ok")))],
  })
  for (const record of await app.wait(jobs, { timeout: "20s" })) {
    expect(record).toMatchObject({ state: "succeeded", result: "ok", attempts: 2, errors: [{ message: "all" }] })
  }
})

test("a call gets at most `size` jobs, in order", async () => {
  const sized = defineJob<number>({ name: "sized" })
  const calls: number[][] = []
  const jobs = await app.pushMany(sized, range(25))
  const done = app.wait(jobs, { timeout: "20s" })
  await waitedFor(own.pool, "default")
  await using _worker = await own.worker(app, {
    handlers: [sized.batch({ size: 10 }, (batch) => void calls.push(batch.map(({ payload }) => payload)))],
  })
  await done
  const inOrder = calls.sort((a, b) => a[0]! - b[0]!) // several calls may run at once
  expect(inOrder.map((call) => call.length)).toEqual([10, 10, 5])
  expect(inOrder.flat()).toEqual(range(25))
})

test("a batch is never larger than the queue's concurrency", async () => {
  await app.declareQueue({ name: "three", concurrency: 3 })
  const few = defineJob<number>({ name: "few", queue: "three" })
  const sizes: number[] = []
  const jobs = await app.pushMany(few, range(12))
  await using _worker = await own.worker(app, {
    handlers: [few.batch({ size: 100 }, (batch) => void sizes.push(batch.length))],
  })
  await app.wait(jobs, { timeout: "20s" })
  expect(Math.max(...sizes)).toBeLessThanOrEqual(3)
  expect(sizes.reduce((sum, size) => sum + size)).toBe(12)
})

test("jobs of other names are not mixed into a batch", async () => {
  const left = defineJob<number>({ name: "left" })
  const right = defineJob<number>({ name: "right" })
  const names = new Set<string>()
  const jobs = []
  for (const n of range(6)) jobs.push(await app.push(n % 2 ? left : right, n))
  const note = (batch: readonly { name: string }[]) =>
    void names.add([...new Set(batch.map((job) => job.name))].join("+"))
  await using _worker = await own.worker(app, {
    handlers: [left.batch({ size: 6 }, note), right.batch({ size: 6 }, note)],
  })
  await app.wait(jobs, { timeout: "20s" })
  expect([...names].sort()).toEqual(["left", "right"])
})

test("a payload that its schema refuses fails alone", async () => {
  const loose = defineJob<unknown>({ name: "checked" })
  const checked = defineJob({ name: "checked", payload: z.number(), result: z.number() })
  const jobs = await app.pushMany(loose, [1, "two", 3])
  await using _worker = await own.worker(app, {
    handlers: [checked.batch({ size: 3 }, (batch) => batch.map(({ payload }) => payload * 2))],
  })
  const records = await app.wait(jobs, { timeout: "20s" })
  expect(records.map(({ state, result }) => [state, result])).toEqual([
    ["succeeded", 2],
    ["failed", undefined],
    ["succeeded", 6],
  ])
})

test("each job of a batch has a signal of its own", async () => {
  const own2 = defineJob<number, string>({ name: "own-signal", maxAttempts: 1 })
  const [cancelled, other] = await app.pushMany(own2, [0, 1])
  await using _worker = await own.worker(app, {
    handlers: [
      own2.batch({ size: 2 }, async ([first, second]) => {
        await fired(first!.signal)
        return ["first", second!.signal.aborted ? "fired too" : "left alone"]
      }),
    ],
  })
  await app.wait([cancelled!], { states: ["running"], timeout: "20s" })
  await cancelled!.cancel()
  const records = await app.wait([cancelled!, other!], { timeout: "20s" })
  expect(records.map(({ state, result }) => [state, result])).toEqual([
    ["cancelled", undefined],
    ["succeeded", "left alone"],
  ])
})

test("a batch size out of range is refused", () => {
  const any = defineJob({ name: "any" })
  for (const size of [0, -1, 1.5, 10_001, undefined]) {
    expect(() => any.batch({ size: size as number }, () => {})).toThrow(
      expect.objectContaining({ code: "MILLRACE_BAD_OPTION" }),
    )
  }
})
