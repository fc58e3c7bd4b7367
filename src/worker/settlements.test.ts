import fc from "fast-check"
import { expect, test } from "vitest"
import type { CycleSummary } from "../postgres/jobs.ts"
import type { Running } from "./running.ts"
import { accepted, Settlements, stripped, type Unsettled } from "./settlements.ts"

const unsettled = (id: string, more: Partial<Unsettled["settlement"]> = {}): Unsettled => ({
  attempt: { id, token: `token of ${id}` } as unknown as Running,
  settlement: { id, token: `token of ${id}`, state: "succeeded", charge: 1, ...more },
})

const idsOf = (batch: readonly Unsettled[]) => batch.map(({ settlement }) => settlement.id)

const summary = (more: Partial<CycleSummary>): CycleSummary => ({
  stale: null,
  awaited: null,
  cancelled: null,
  alive: null,
  paused: null,
  revision: null,
  scanMs: 0,
  ...more,
})

test("outcomes are taken in order, at most so many at a time", () => {
  const settlements = new Settlements()
  for (const id of ["a", "b", "c"]) settlements.add(unsettled(id))
  expect(settlements.waiting).toBe(3)
  expect(idsOf(settlements.take(2))).toEqual(["a", "b"])
  expect([settlements.waiting, settlements.size]).toEqual([1, 3])
  expect(idsOf(settlements.take(2))).toEqual(["c"])
  expect(settlements.take(2)).toEqual([])
})

test("what was taken counts until it is confirmed", () => {
  const settlements = new Settlements()
  settlements.add(unsettled("a"))
  const batch = settlements.take(10)
  expect([settlements.waiting, settlements.size]).toEqual([0, 1])
  settlements.confirm(batch)
  expect(settlements.size).toBe(0)
})

test("a batch whose reply did not come goes first the next time", () => {
  const settlements = new Settlements()
  for (const id of ["a", "b"]) settlements.add(unsettled(id))
  const batch = settlements.take(2)
  settlements.add(unsettled("c"))
  settlements.putBack(batch)
  expect(idsOf(settlements.take(10))).toEqual(["a", "b", "c"])
})

test("no outcome is lost or doubled, whatever becomes of the calls", () => {
  const step = fc.oneof(
    fc.constant("add" as const),
    fc.integer({ min: 1, max: 4 }).map((most) => ({ most })),
    fc.record({ settle: fc.nat(), confirmed: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const settlements = new Settlements()
      const flying: Unsettled[][] = []
      const confirmed: string[] = []
      let added = 0
      for (const one of steps) {
        if (one === "add") settlements.add(unsettled(String(added++)))
        else if ("most" in one) flying.push(settlements.take(one.most))
        else if (flying.length > 0) {
          const [batch] = flying.splice(one.settle % flying.length, 1)
          if (one.confirmed) {
            settlements.confirm(batch!)
            confirmed.push(...idsOf(batch!))
          } else settlements.putBack(batch!)
        }
        expect(settlements.size).toBe(added - confirmed.length)
      }
      const left = [...flying.flatMap(idsOf), ...idsOf(settlements.take(Infinity))]
      expect([...confirmed, ...left].sort()).toEqual(Array.from({ length: added }, (_, n) => String(n)).sort())
    }),
  )
})

test("what is left of an outcome that cannot be stored is the finish itself, and why", () => {
  const whole = unsettled("a", { state: "retrying", result: "1", meta: "{}", error: "{}", delayMs: 5 })
  const { error, ...rest } = stripped(whole, "too odd")
  expect(rest).toEqual({ id: "a", token: "token of a", state: "retrying", charge: 1, delayMs: 5, blockedBy: undefined })
  expect(JSON.parse(error!)).toMatchObject({ code: "MILLRACE_BAD_JSON", message: expect.stringContaining("too odd") })
})

test("what is left can be stored, whatever the reason says and wherever it is cut", () => {
  const reasons = ["a\0b", "half a pair: \ud83d", ...[0, 1].map((shift) => "x".repeat(shift) + "😀".repeat(1_000))]
  for (const reason of reasons) {
    const { message } = JSON.parse(stripped(unsettled("a"), reason).error!) as { message: string }
    expect(/\0|[\ud800-\udfff]/u.test(message)).toBe(false)
    expect(message.length).toBeLessThanOrEqual(1_000)
  }
})

test("hooks are told what was recorded: nothing of stale claims, and that a cancel has won", () => {
  const batch = [unsettled("kept"), unsettled("gone"), unsettled("asked"), unsettled("late", { state: "retrying" })]
  const told = accepted(batch, summary({ stale: [["gone", "token of gone"]], cancelled: ["asked"] }))
  expect(told.map(({ job, state }) => [job.id, state])).toEqual([
    ["kept", "succeeded"],
    ["asked", "cancelled"],
    ["late", "retrying"],
  ])
})

test("of two claims of one job only the stale one is left out", () => {
  const fresh = unsettled("a")
  const old = unsettled("a", { token: "an older one" })
  expect(accepted([old, fresh], summary({ stale: [["a", "an older one"]] }))).toHaveLength(1)
})
