import fc from "fast-check"
import { expect, test } from "vitest"
import {
  cancel,
  decide,
  discard,
  isDirective,
  retry,
  retryAfter,
  snooze,
  type AttemptFacts,
  type Directive,
  type Report,
} from "./outcome.ts"

const backoff = fc.record({
  initial: fc.integer({ min: 0, max: 1e6 }),
  factor: fc.double({ min: 1, max: 100, noNaN: true }),
  max: fc.integer({ min: 0, max: 1e9 }),
  jitter: fc.constantFrom("full" as const, "none" as const),
})
const stopped = fc.constantFrom("cancel", "timeout", "shutdown", "lease", undefined)
const facts: fc.Arbitrary<AttemptFacts> = fc.record({
  attempt: fc.integer({ min: 1, max: 100 }),
  maxAttempts: fc.integer({ min: 0, max: 100 }),
  backoff,
  stopped,
})
const delay = fc.integer({ min: 0, max: 1e9 })
const reason = fc.oneof(fc.anything(), fc.string(), fc.constant(new Error("reason")))
const directive: fc.Arbitrary<Directive> = fc.oneof(
  delay.map((ms) => snooze(ms)),
  reason.map((why) => retry(why)),
  fc.tuple(delay, reason).map(([ms, why]) => retryAfter(ms, why)),
  reason.map((why) => discard(why)),
  fc.option(fc.string(), { nil: undefined }).map((why) => cancel(why)),
)
/** Anything that user code may leave behind. */
const anything = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
  fc.string().map((text) => new Error(text)),
)
/** Things that fight back when they are described. */
const hostile: Record<string, unknown> = {
  "an object without a prototype": Object.create(null),
  "a message that throws": Object.defineProperty(new Error("x"), "message", {
    get() {
      throw new Error("no")
    },
  }),
  "a toString that throws": {
    toString() {
      throw new Error("no")
    },
  },
  "a symbol": Symbol("s"),
}
const report: fc.Arbitrary<Report> = fc.oneof(
  fc.oneof(anything, directive).map((value): Report => ({ ok: true, value })),
  fc.oneof(anything, directive).map((error): Report => ({ ok: false, error })),
)

const plain: AttemptFacts = {
  attempt: 1,
  maxAttempts: 3,
  backoff: { initial: 100, factor: 2, max: 1_000, jitter: "none" },
}
const failed = (error: unknown): Report => ({ ok: false, error })
const returned = (value: unknown): Report => ({ ok: true, value })

test("every report has a decision, whatever was returned or thrown", () => {
  fc.assert(
    fc.property(facts, report, (given, how) => {
      const { state, charge, error, delayMs } = decide(given, how)
      expect(["succeeded", "failed", "cancelled", "retrying", "scheduled", "pending"]).toContain(state)
      expect(charge === 0).toBe(state === "scheduled" || state === "pending")
      expect(error !== undefined).toBe(state === "failed" || state === "cancelled" || state === "retrying")
      expect(delayMs !== undefined).toBe(state === "retrying" || state === "scheduled")
      if (error) expect(error.attempt).toBe(given.attempt)
    }),
  )
})

test("a failed attempt is followed by another exactly while there are attempts left", () => {
  fc.assert(
    fc.property(facts, anything, (given, error) => {
      fc.pre(given.stopped === undefined || given.stopped === "timeout")
      expect(decide(given, failed(error)).state).toBe(given.attempt < given.maxAttempts ? "retrying" : "failed")
    }),
  )
})

test("the wait after a failure is never longer than the backoff allows", () => {
  fc.assert(
    fc.property(facts, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (given, drawn) => {
      const { delayMs = 0 } = decide({ ...given, stopped: undefined }, failed(new Error("x")), () => drawn)
      expect(delayMs).toBeGreaterThanOrEqual(0)
      expect(delayMs).toBeLessThanOrEqual(given.backoff.max)
    }),
  )
})

test("a handler that returned has done its work, why ever its signal fired", () => {
  fc.assert(
    fc.property(facts, anything, (given, value) => {
      expect(decide(given, returned(value))).toEqual({ state: "succeeded", charge: 1, value })
    }),
  )
})

test("a directive says the same returned and thrown, whether or not the signal fired", () => {
  fc.assert(
    fc.property(facts, directive, stopped, (given, told, why) => {
      const half = () => 0.5
      const without = ({ error, ...rest }: ReturnType<typeof decide>) => ({ ...rest, message: error?.message })
      const once = without(decide(given, returned(told), half))
      expect(without(decide(given, failed(told), half))).toEqual(once)
      expect(without(decide({ ...given, stopped: why }, failed(told), half))).toEqual(once)
    }),
  )
})

test("an attempt that threw because of a shutdown or a lost lease counts for nothing", () => {
  fc.assert(
    fc.property(facts, anything, fc.constantFrom("shutdown" as const, "lease" as const), (given, error, why) => {
      expect(decide({ ...given, stopped: why }, failed(error))).toEqual({ state: "pending", charge: 0 })
    }),
  )
})

test("an attempt that threw because it was cancelled is cancelled, with its error", () => {
  const decision = decide({ ...plain, stopped: "cancel" }, failed(new Error("aborted")))
  expect(decision).toMatchObject({ state: "cancelled", charge: 1, error: { message: "aborted", attempt: 1 } })
})

test("backoff starts with the first failure", () => {
  expect([1, 2].map((attempt) => decide({ ...plain, attempt }, failed("x")).delayMs)).toEqual([100, 200])
})

test("retryAfter takes the place of the backoff, and not of the last attempt", () => {
  expect(decide(plain, returned(retryAfter("7s", "slow down")))).toMatchObject({
    state: "retrying",
    charge: 1,
    delayMs: 7_000,
    error: { message: "slow down" },
  })
  expect(decide({ ...plain, attempt: 3 }, returned(retryAfter("7s")))).toMatchObject({ state: "failed", charge: 1 })
})

test("a snooze is charged nothing, and goes on at the last attempt", () => {
  expect(decide({ ...plain, attempt: 3 }, returned(snooze("5m")))).toEqual({
    state: "scheduled",
    charge: 0,
    delayMs: 300_000,
  })
})

for (const [what, thing] of Object.entries(hostile)) {
  test(`${what} can be thrown, returned as a reason, and left by onError`, () => {
    const thrown = failed(thing)
    expect(decide(plain, thrown)).toMatchObject({ state: "retrying", error: { attempt: 1 } })
    expect(decide(plain, returned(discard(thing)))).toMatchObject({ state: "failed", error: { attempt: 1 } })
    expect(decide(plain, returned(retryAfter(1, thing)))).toMatchObject({ state: "retrying", error: { attempt: 1 } })
    expect(decide({ ...plain, onError: () => discard() }, thrown)).toMatchObject({ state: "failed" })
    expect(decide({ ...plain, onError: () => cancel() }, thrown)).toMatchObject({ state: "cancelled" })
    const onError = () => {
      throw thing
    }
    expect(decide({ ...plain, onError }, failed(new Error("x")))).toMatchObject({ state: "retrying" })
    expect(decide({ ...plain, onError }, thrown)).toMatchObject({ state: "retrying" })
  })
}

test("onError is asked about failures alone, and obeyed", () => {
  const asked: unknown[] = []
  const onError = (error: unknown) => {
    asked.push(error)
    return discard()
  }
  const boom = new Error("boom")
  expect(decide({ ...plain, onError }, failed(boom))).toMatchObject({ state: "failed", error: { message: "boom" } })
  decide({ ...plain, onError }, returned(1))
  decide({ ...plain, onError }, failed(snooze(1)))
  decide({ ...plain, onError, stopped: "shutdown" }, failed(boom))
  decide({ ...plain, onError, stopped: "lease" }, failed(boom))
  expect(asked).toEqual([boom])
})

test("onError is asked about a time limit", () => {
  const onError = () => retryAfter(5)
  expect(decide({ ...plain, onError, stopped: "timeout" }, failed(new Error("late")))).toMatchObject({
    state: "retrying",
    delayMs: 5,
    error: { message: "late" },
  })
})

test("what onError answers beside a directive is no answer", () => {
  fc.assert(
    fc.property(anything, (answer) => {
      const onError = () => answer as undefined
      expect(decide({ ...plain, onError }, failed(new Error("x"))).state).toBe("retrying")
    }),
  )
})

test("an onError that throws anything leaves a retry, with both errors in the record", () => {
  fc.assert(
    fc.property(facts, anything, anything, (given, error, broken) => {
      const onError = () => {
        throw broken
      }
      const { state } = decide({ ...given, stopped: undefined, onError }, failed(error))
      expect(state).toBe(given.attempt < given.maxAttempts ? "retrying" : "failed")
    }),
  )
  const onError = () => {
    throw new Error("policy bug")
  }
  const { error } = decide({ ...plain, onError }, failed(new Error("first")))
  expect(error!.message).toMatch(/first.*policy bug/)
})

test("a directive is recognised across copies of the package, and nothing else is one", () => {
  expect(isDirective({ [Symbol.for("millrace.directive")]: "snooze" })).toBe(true)
  for (const other of [null, undefined, "snooze", { directive: "snooze" }, [], () => {}])
    expect(isDirective(other)).toBe(false)
})

test("a delay that is no duration is refused where it is written", () => {
  for (const make of [() => snooze("soon"), () => retryAfter(-1), () => snooze(NaN)]) {
    expect(make).toThrow(expect.objectContaining({ code: "MILLRACE_BAD_DURATION" }))
  }
})
