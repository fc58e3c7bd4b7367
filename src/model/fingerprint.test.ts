import fc from "fast-check"
import { expect, test } from "vitest"
import { errorRecord } from "./errors.ts"
import { fingerprintOf, normalizeMessage } from "./fingerprint.ts"

const same = (a: Parameters<typeof fingerprintOf>[0], b: Parameters<typeof fingerprintOf>[0]): boolean =>
  fingerprintOf(a).fingerprint === fingerprintOf(b).fingerprint

test.each([
  ["order 1234 of customer 99 is late", "order <n> of customer <n> is late"],
  ["no user 0b5c0f4e-58c5-4f0e-9f0e-0d9c3a0d7a11", "no user <uuid>"],
  ["connect ECONNREFUSED 127.0.0.1:5432", "connect ECONNREFUSED <address>"],
  ["GET https://api.example.com/v1/users/7?x=1 said 503", "GET <url> said <n>"],
  ["mail to ada.lovelace@example.com bounced", "mail to <email> bounced"],
  ["since 2026-01-02T03:04:05.678Z nothing came", "since <time> nothing came"],
  ["ENOENT: no such file or directory, open '/var/data/7/in.csv'", "ENOENT: no such file or directory, open '<text>'"],
  ["cannot open /var/data/7/in.csv", "cannot open <path>"],
  ["commit deadbeef01 is unknown", "commit <n> is unknown"],
  ["Cannot read properties of undefined (reading 'total')", "Cannot read properties of undefined (reading 'total')"],
  ['relation "public.orders" does not exist', 'relation "public.orders" does not exist'],
  ['no customer "Ada Lovelace"', 'no customer "<text>"'],
  ["two\n  lines", "two lines"],
])("%s becomes %s", (message, pattern) => {
  expect(normalizeMessage(message)).toBe(pattern)
})

test("normalising twice changes nothing, and no text makes it throw or take long", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 3_000 }), fc.string({ unit: "binary", maxLength: 500 })), (message) => {
      const once = normalizeMessage(message)
      expect(normalizeMessage(once)).toBe(once)
    }),
  )
  for (const one of ["/a", "1.", "a@", '"', "a.", "0-", "ab:/", "'x", "\n at "]) {
    const started = performance.now()
    fingerprintOf({ name: "Error", message: one.repeat(5_000), stack: one.repeat(5_000) })
    expect(performance.now() - started).toBeLessThan(5_000) // of any machine: a slow expression takes minutes
  }
})

test("numbers and ids in a message do not tell errors apart; classes, codes and words do", () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.uuid(), fc.uuid(), (a, b, c, d) => {
      const error = (n: number, id: string) => ({ name: "Error", message: `order ${n} of ${id}` })
      expect(same(error(a, c), error(b, d))).toBe(true)
    }),
  )
  const base = { name: "Error", message: "no order" }
  for (const other of [
    { ...base, name: "TypeError" },
    { ...base, code: "E1" },
    { ...base, message: "no customer" },
    { ...base, stack: "Error: no order\n    at f (/app/a.js:1:1)" },
  ])
    expect(same(base, other)).toBe(false)
})

const stack = (folder: string, line: number) => `TypeError: no
    at parse (/node_modules/zod/index.js:${line}:1)
    at Object.charge (${folder}/src/billing/charge.ts:${line}:7)
    at async run (file://${folder}/src/jobs/pay.js?t=${line}:${line + 1}:3)
    at async node:internal/process/task_queues:95:5
caused by Error: socket ${line}
    at elsewhere (${folder}/x.js:1:1)`

test("lines, folders of a release and libraries do not tell errors apart", () => {
  const one = { name: "TypeError", message: "no", stack: stack("/srv/releases/41", 10) }
  const two = {
    name: "TypeError",
    message: "no",
    stack: stack("C:\\app", 99).replaceAll("C:\\app/src", "C:\\app\\src"),
  }
  expect(fingerprintOf(one).frames).toEqual(["charge (billing/charge.ts)", "run (jobs/pay.js)"])
  expect(same(one, two)).toBe(true)
})

test("an error that only libraries threw is told by their frames, and one without a stack by its message", () => {
  const library = { name: "E", message: "m", stack: "E: m\n    at q (/a/node_modules/pg/lib/client.js:5:1)" }
  expect(fingerprintOf(library).frames).toEqual(["q (lib/client.js)"])
  expect(fingerprintOf({ name: "E", message: "m" }).frames).toEqual([])
  const bundled = "E: m\n    at go (/app/dist/main.4f8a91c2.js:1:5)"
  expect(fingerprintOf({ name: "E", message: "m", stack: bundled }).frames).toEqual(["go (dist/main.js)"])
})

test("a live error and what is stored of it have one fingerprint", () => {
  const error = new RangeError("no 5")
  const stored = JSON.parse(JSON.stringify(errorRecord(error, 3))) as ReturnType<typeof errorRecord>
  expect(same(errorRecord(error, 1), stored)).toBe(true)
  expect(fingerprintOf(stored).fingerprint).toMatch(/^[0-9a-f]{16}$/)
})
