import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, type Fixture } from "../support/app.ts"
import { ended, raise } from "../support/worker-fixture.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const circle: Record<string, unknown> = { name: "round" }
circle.self = circle

/** Values that JSON or PostgreSQL refuse, and what must still be legible of them. */
const odd: Record<string, { make: () => unknown; legible?: unknown }> = {
  "U+0000 in text": { make: () => ({ text: "a\0b", kept: 1 }), legible: { kept: 1 } },
  "U+0000 in a key": { make: () => ({ "a\0b": 1, kept: 1 }), legible: { kept: 1 } },
  "half a surrogate pair": { make: () => ({ text: "\ud83d", kept: 1 }), legible: { kept: 1 } },
  "half a surrogate pair in a key": { make: () => ({ "\udc00": 2, kept: 1 }), legible: { kept: 1 } },
  "a bigint": { make: () => ({ big: 123n, kept: 1 }), legible: { kept: 1 } },
  "a bigint alone": { make: () => 5n },
  "a cycle": { make: () => circle, legible: { name: "round" } },
  "two megabytes": { make: () => "x".repeat(2_000_000) },
  "an array of a million": { make: () => Array(1_000_000).fill("abc") },
  "a getter that throws": {
    make: () => ({
      kept: 1,
      get bad() {
        return raise(new Error("no"))
      },
    }),
  },
  "a toJSON that throws": { make: () => ({ toJSON: () => raise(new Error("no")) }) },
  "a proxy that throws": {
    // Only `then` is answered: what throws there has thrown in the language, when it is returned or awaited.
    make: () =>
      new Proxy(
        {},
        {
          ownKeys: () => raise(new Error("no")),
          get: (_, key) => (key === "then" ? undefined : raise(new Error("no"))),
        },
      ),
  },
  "a function": { make: () => () => {} },
  "a symbol": { make: () => Symbol("s") },
  "NaN and Infinity": { make: () => [NaN, Infinity] },
  "a hundred thousand levels": {
    make: () => {
      let deep: unknown = 1
      for (let i = 0; i < 100_000; i++) deep = [deep]
      return deep
    },
  },
  "a number that jsonb refuses": { make: () => ({ toJSON: () => JSON.parse("1e400"), kept: 1 }) },
}

for (const [what, { make, legible }] of Object.entries(odd)) {
  test(`a result with ${what} is repaired, and the finish recorded`, async () => {
    const job = defineJob<undefined, unknown>({ name: "result" })
    await using _worker = await own.worker(app, { handlers: [job.handler(() => make())] })
    const record = await ended(app, await app.push(job))
    expect(record).toMatchObject({ state: "succeeded", attempts: 1, errors: [] })
    if (legible) expect(record.result).toMatchObject(legible)
  })

  test(`a thrown value with ${what} is recorded as a failure`, async () => {
    const job = defineJob({ name: "thrown", maxAttempts: 1 })
    await using _worker = await own.worker(app, { handlers: [job.handler(() => raise(make()))] })
    const record = await ended(app, await app.push(job))
    expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ attempt: 1 }] })
  })

  test(`meta with ${what} does not keep the outcome from being recorded`, async () => {
    const job = defineJob<undefined, string>({ name: "meta" })
    await using _worker = await own.worker(app, {
      handlers: [
        job.handler((_, running) => {
          running.meta.odd = make()
          return "fine"
        }),
      ],
    })
    expect(await ended(app, await app.push(job))).toMatchObject({ state: "succeeded", result: "fine", attempts: 1 })
  })
}

for (const [what, error] of Object.entries({
  "U+0000 in its message": new Error("a\0b"),
  "half a surrogate pair in its message": new Error("a\ud83d"),
  "a message of a megabyte": new Error("long ".repeat(200_000)),
  "a message that ends in half a pair where it is cut": new Error("x".repeat(1_999) + "😀".repeat(10)),
  "a code with U+0000": Object.assign(new Error("m"), { code: "E\0" }),
  "a getter for its message that throws": Object.defineProperty(new Error("m"), "message", {
    get: () => raise(new Error("no")),
  }),
  "itself as its cause": Object.assign(new Error("m"), { cause: undefined }),
})) {
  if (what.startsWith("itself")) (error as { cause?: unknown }).cause = error
  test(`an error with ${what} is recorded`, async () => {
    const job = defineJob({ name: "error", maxAttempts: 1 })
    await using _worker = await own.worker(app, { handlers: [job.handler(() => raise(error))] })
    const record = await ended(app, await app.push(job))
    expect(record).toMatchObject({ state: "failed", attempts: 1, errors: [{ attempt: 1 }] })
    expect(record.errors[0]!.message.length).toBeLessThan(2_100)
  })
}

test("what cannot be stored harms only the job that left it, among many that end together", async () => {
  const many = defineJob<number, unknown>({ name: "many" })
  await using _worker = await own.worker(app, {
    handlers: [many.handler((n) => (n % 7 === 0 ? { n, text: "\0\ud800", circle } : n))],
  })
  const records = await app.wait(
    await app.pushMany(
      many,
      Array.from({ length: 70 }, (_, n) => n),
    ),
    { timeout: "20s" },
  )
  expect(records.every(({ state, attempts }) => state === "succeeded" && attempts === 1)).toBe(true)
  expect(records.filter(({ result }) => typeof result === "number")).toHaveLength(60)
})
