import fc from "fast-check"
import { expect, expectTypeOf, test } from "vitest"
import { z } from "zod"
import { defineJob, preparePush } from "./definition.ts"
import { defaultBackoff, parseMoment, type PushOptions } from "./job-options.ts"
import { givenKey, storedKey, type NewJob } from "./job.ts"

const context = { maxPayload: 1_000 }
const plain = defineJob<unknown>({ name: "plain" })

const row = (definition: typeof plain, payload: unknown, options?: PushOptions) =>
  preparePush(definition, options, context)(payload) as NewJob
const kind = (options?: PushOptions, definition = plain) =>
  JSON.parse(row(definition, 1, options).kind) as Record<string, unknown>

test("a kind says only what differs from the defaults", () => {
  expect(kind()).toEqual({ queue: "default", name: "plain" })
  expect(kind({})).toEqual({ queue: "default", name: "plain" })
  expect(kind({ priority: 0 })).toEqual({ queue: "default", name: "plain" })
  expect(kind({ priority: 5 })).toEqual({ queue: "default", name: "plain", rank: -5 })
})

test("jobs with the same options are of the same kind, so that a batch sends it once", () => {
  const options = { priority: 3, tags: ["a"], meta: { b: 1 }, delay: "5m", retention: "2d" } as const
  const add = preparePush(plain, options, context)
  expect((add(1) as NewJob).kind).toBe((add(2) as NewJob).kind)
  expect((add(1) as NewJob).kind).toBe(row(plain, 3, { ...options }).kind)
})

test("each option has its place in the kind", () => {
  expect(
    kind({
      queue: "q",
      priority: -1,
      maxAttempts: 9,
      timeout: "1.5s",
      retention: { succeeded: "1m", failed: "none" },
      runAt: new Date("2030-01-02T03:04:05.678Z"),
      expiresAt: "in 2h",
      uniqueKey: { key: "k", scope: "queue" },
      tags: ["t"],
      meta: { m: null },
      backoff: {},
    }),
  ).toEqual({
    queue: "q",
    name: "plain",
    rank: 1,
    max_attempts: 9,
    timeout_ms: 1_500,
    keep_s: 60,
    keep_failed_s: 0,
    run_at: "2030-01-02T03:04:05.678Z",
    expires_ms: 7_200_000,
    unique_key: "q|q|k",
    tags: ["t"],
    meta: { m: null },
    options: { backoff: defaultBackoff },
  })
})

test("the default backoff is a second, doubling up to five minutes, with full jitter", () => {
  expect(defaultBackoff).toEqual({ initial: 1_000, factor: 2, max: 300_000, jitter: "full" })
})

test.each<[PushOptions["retention"], number, number]>([
  ["none", 0, 0],
  ["forever", -1, -1],
  ["1d", 86_400, 86_400],
  [1, 1, 1],
  [1_001, 2, 2],
  [{ succeeded: "none" }, 0, 86_400],
  [{ failed: "forever" }, 86_400, -1],
  [{}, 86_400, 86_400],
])("a retention of %j keeps %i s, and failures %i s", (retention, keep_s, keep_failed_s) => {
  expect(kind({ retention })).toMatchObject({ keep_s, keep_failed_s })
})

test("a job for later is marked as one, so that the wake-up says so", () => {
  expect(row(plain, 1, { delay: 1 }).later).toBe(true)
  expect(row(plain, 1, { runAt: new Date() }).later).toBe(true)
  expect(row(plain, 1, { delay: 0 }).later).toBe(false)
  expect(row(plain, 1).later).toBe(false)
})

test("ids grow with the pushes of a process, and a given one is taken in lower case", () => {
  const add = preparePush(plain, undefined, context)
  const ids = Array.from({ length: 5_000 }, () => (add(1) as NewJob).id)
  expect(ids).toEqual(ids.toSorted())
  expect(new Set(ids).size).toBe(5_000)
  expect(row(plain, 1, { id: "01890A5D-AC96-774B-BCCE-B302099A8057" }).id).toBe("01890a5d-ac96-774b-bcce-b302099a8057")
})

test("a synchronous schema makes a row at once, an asynchronous one a promise", async () => {
  const sync = defineJob({ name: "sync", payload: z.number() })
  const later = defineJob({ name: "later", payload: z.number().refine(() => Promise.resolve(true)) })
  expect(preparePush(sync, undefined, context)(1)).toMatchObject({ payload: "1" })
  const made = preparePush(later, undefined, context)(1)
  expect(made).toBeInstanceOf(Promise)
  expect(await made).toMatchObject({ payload: "1" })
})

test("a payload goes through JSON unharmed", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
      const text = JSON.stringify(value)
      fc.pre(Buffer.byteLength(text) <= context.maxPayload && !/\\u0000|\\ud[89a-f]/i.test(text))
      expect(JSON.parse(row(plain, value).payload)).toEqual(JSON.parse(text))
    }),
  )
})

test("a key comes back out of its stored form, and two scopes never meet", () => {
  const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.:/#-]{0,10}$/)
  const scope = fc.constantFrom("global" as const, "queue" as const, "name" as const)
  const parts = fc.tuple(fc.string({ minLength: 1 }), scope, name, name)
  fc.assert(
    fc.property(parts, ([key, ...rest]) => {
      expect(givenKey(storedKey(key, ...rest))).toBe(key)
    }),
  )
  const place = ([key, of, queue, job]: [string, "global" | "queue" | "name", string, string]) =>
    JSON.stringify([of, key, of === "queue" ? queue : of === "name" ? job : ""])
  fc.assert(
    fc.property(parts, parts, (one, two) => {
      expect(storedKey(...one) === storedKey(...two)).toBe(place(one) === place(two))
    }),
  )
})

test('a moment is a Date, or text that starts with "in "', () => {
  expect(parseMoment(new Date(0), "here")).toEqual({ at: "1970-01-01T00:00:00.000Z" })
  expect(parseMoment("in 1h30m", "here")).toEqual({ inMs: 5_400_000 })
  for (const bad of ["1h", "in", "in ", "IN 5m", 5, null, new Date(NaN)]) {
    expect(() => parseMoment(bad as string, "here")).toThrow(/here/)
  }
})

test("a backoff whose first wait is longer than its longest is refused", () => {
  const backoff = { initial: "10m", max: "1m" } as const
  expect(() => defineJob({ name: "job", backoff })).toThrow(/backoff\.initial .*backoff\.max/)
  expect(defineJob({ name: "job", backoff: { max: 500 } }).defaults.backoff).toMatchObject({ initial: 500, max: 500 })
  const hourly = defineJob({ name: "job", backoff: { initial: "1h" } })
  expect(hourly.defaults.backoff).toMatchObject({ initial: 3_600_000, max: 3_600_000 })
})

test("a handler that is no function is refused where it is written", () => {
  for (const run of [undefined, null, 5, {}]) {
    const refusal = expect.objectContaining({
      code: "MILLRACE_BAD_OPTION",
      message: expect.stringContaining('"plain"'),
    })
    expect(() => plain.handler(run as never)).toThrow(refusal)
    expect(() => plain.batch({ size: 5 }, run as never)).toThrow(refusal)
  }
})

test("a definition and its parts are frozen", () => {
  const definition = defineJob({ name: "frozen", aliases: ["b"] })
  for (const part of [definition, definition.defaults, definition.aliases, definition.handler(() => 1)])
    expect(Object.isFrozen(part)).toBe(true)
  expectTypeOf(definition.name).toEqualTypeOf<string>()
})
