import fc from "fast-check"
import { expect, test } from "vitest"
import { cancel, decide, discard, isDirective, retryAfter, snooze, type Report } from "./outcome.ts"
import { failure, isMillraceError } from "./errors.ts"
import { packError, packReport, unpackError, unpackReport } from "./wire.ts"

/** As it travels: nothing but plain data. */
const sent = <T>(packed: T): T => JSON.parse(JSON.stringify(structuredClone(packed))) as T
const arrived = (report: Report) => unpackReport(sent(packReport(report)))
const facts = {
  attempt: 1,
  maxAttempts: 3,
  backoff: { initial: 1_000, factor: 2, max: 9_000, jitter: "none" as const },
}

test("any JSON result arrives as it is, and counts as checked", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      // -0 has no JSON form of its own.
      expect(arrived({ ok: true, value })).toEqual({
        ok: true,
        value: JSON.parse(JSON.stringify(value)),
        checked: true,
      })
    }),
  )
  expect(arrived({ ok: true, value: undefined })).toEqual({ ok: true, value: undefined, checked: true })
})

test("results that are no JSON become what would have been stored", () => {
  expect(arrived({ ok: true, value: new Date(0) })).toMatchObject({ value: "1970-01-01T00:00:00.000Z" })
  expect(arrived({ ok: true, value: { a: 1n, f: () => 1, toJSON: undefined } })).toMatchObject({ value: { a: "1" } })
})

test("directives arrive, returned or thrown, and are decided as if they had never travelled", () => {
  for (const told of [snooze("5m"), cancel("why"), discard(new Error("never")), retryAfter(7, "later"), discard()]) {
    for (const report of [{ ok: true, value: told } as const, { ok: false, error: told } as const]) {
      const after = arrived(report)
      expect(isDirective(after.ok && after.value)).toBe(true)
      const { error: was, ...before } = decide(facts, report)
      const { error: is, ...now } = decide(facts, after)
      expect(now).toEqual(before)
      expect(is && { name: is.name, message: is.message }).toEqual(was && { name: was.name, message: was.message })
    }
  }
})

test("an error keeps name, message, stack, code, fields and causes", () => {
  const cause = new RangeError("beneath")
  const error = Object.assign(new TypeError("above", { cause }), { code: "E", detail: { a: [1] } })
  const after = unpackError(sent(packError(error))) as typeof error
  expect(after).toBeInstanceOf(Error)
  expect(after).toMatchObject({
    name: "TypeError",
    message: "above",
    stack: error.stack,
    code: "E",
    detail: { a: [1] },
    cause: { message: "beneath" },
  })
  expect((after.cause as Error).name).toBe("RangeError")
  expect(isMillraceError(unpackError(sent(packError(failure("MILLRACE_TIMEOUT", "late")))), "MILLRACE_TIMEOUT")).toBe(
    true,
  )
})

test("whatever was thrown can be sent", () => {
  const looped: { message: string; cause?: unknown } = { message: "round" }
  looped.cause = looped
  const broken = Object.defineProperty(new Error("x"), "message", {
    get() {
      throw new Error("no")
    },
  })
  for (const thrown of [undefined, null, "text", 12, Symbol("s"), () => 1, looped, broken, Object.create(null)])
    expect(() => unpackError(sent(packError(thrown)))).not.toThrow()
})

test("what a policy said travels with the error, also that it said nothing", () => {
  const error = new Error("x")
  const asked = { ...facts, onError: () => discard() }
  expect(decide(asked, arrived({ ok: false, error }))).toMatchObject({ state: "failed" })
  expect(decide(asked, arrived({ ok: false, error, policy: null }))).toMatchObject({ state: "retrying" })
  expect(decide(facts, arrived({ ok: false, error, policy: retryAfter(7) }))).toMatchObject({ delayMs: 7 })
  expect(decide(asked, arrived({ ok: false, error, final: true }))).toMatchObject({ state: "failed" })
})
