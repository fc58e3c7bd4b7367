import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { QueueOptions } from "millrace"
import { takeBackClaims } from "../../src/postgres/recovery.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, succeeded, type Claim, type Stage } from "./support/stage.ts"

/* Limits, claim by claim: what two claims do to each other, and any order of pushes, claims, ends and crashes. */

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const declare = (s: Stage, queue: Partial<QueueOptions>) =>
  s.app().declareQueue({ ...queue, name: "default" }, { upsert: true })

const push = (s: Stage, keys: readonly string[]) => s.push(keys.map((limitKey) => ({ limitKey })))

test("#52 two claims of a queue with a global limit: the second waits, and counts what the first has claimed", async () => {
  await using s = await openStage(database)
  await declare(s, { globalConcurrency: 3 })
  const [a, b] = await s.sessions()
  const [one, two] = [await s.member(), await s.member()]
  await s.push(Array.from({ length: 5 }, () => ({})))
  await a.begin()
  expect(await s.claim(one, 2, a.db)).toHaveLength(2)
  const second = s.claim(two, 5, b.db)
  await s.somebodyWaits(a)
  await a.commit()
  expect(await second).toHaveLength(1)
})

test("#52 a claim that rolls back has taken no slot", async () => {
  await using s = await openStage(database)
  await declare(s, { globalConcurrency: 2, keyConcurrency: 1 })
  const [a] = await s.sessions()
  const one = await s.member()
  await push(s, ["a", "a", "b"])
  await a.begin()
  expect(await s.claim(one, 5, a.db)).toHaveLength(2)
  await a.rollback()
  expect(await s.claim(one, 5)).toHaveLength(2)
})

test("#53 two claims of keyed jobs: a key that one holds is passed over by the other", async () => {
  await using s = await openStage(database)
  await declare(s, { keyConcurrency: 2 })
  const [a] = await s.sessions()
  const [one, two] = [await s.member(), await s.member()]
  const [a1, a2] = await push(s, ["a", "a", "b", "b"])
  await a.begin()
  // One key is looked at per job wanted: the other key is free for the second claim, as soon as the news is entered.
  await s.call(one, { limit: 1, settle: [] })
  expect((await s.call(one, { limit: 1, on: a.db })).ids).toHaveLength(1)
  const { ids } = await s.call(two, { limit: 5 })
  expect(ids).toHaveLength(2)
  expect([a1, a2].some((id) => ids.includes(id!))).toBe(false)
  await a.commit()
})

test("#54 a slot that frees while a claim judges its key is seen by the next claim", async () => {
  await using s = await openStage(database)
  await declare(s, { keyConcurrency: 1 })
  const [a] = await s.sessions()
  const one = await s.member()
  await push(s, ["a", "a"])
  const [first] = await s.claim(one, 1)
  await a.begin()
  expect(await s.claim(one, 1, a.db)).toEqual([]) // judged: no room
  await s.settle(one, [succeeded(first!)])
  await a.commit()
  expect(await s.claim(one, 1)).toHaveLength(1)
})

test("#55 a push in a transaction that is open for long holds up neither claims nor settlements of its key", async () => {
  await using s = await openStage(database)
  await declare(s, { keyConcurrency: 1 })
  const [a] = await s.sessions()
  const one = await s.member()
  await push(s, ["a", "a"])
  const [first] = await s.claim(one, 1)
  await a.begin()
  await s.push([{ limitKey: "a" }], a.db)
  await s.settle(one, [succeeded(first!)])
  expect(await s.claim(one, 1)).toHaveLength(1)
  await a.commit()
})

test("#56 a key that stops while a claim looks at it does not go on", async () => {
  await using s = await openStage(database)
  await declare(s, { ordered: "stop" })
  const one = await s.member()
  await push(s, ["a", "a", "b"])
  const claims = await s.claim(one, 5)
  expect(claims).toHaveLength(2)
  const [first] = claims
  await s.settle(one, [
    { ...first!, state: "failed", charge: 1, error: JSON.stringify({ name: "E", attempt: 1, message: "no" }) },
  ])
  expect(await s.claim(one, 5)).toEqual([])
  expect(await s.app().stoppedKeys("default")).toMatchObject([{ key: "a", job: first!.id }])
  await s.app().resumeKey("default", "a")
  expect(await s.claim(one, 5)).toHaveLength(1)
})

type Step =
  | { readonly do: "push"; readonly keys: readonly number[] }
  | { readonly do: "claim"; readonly member: 0 | 1; readonly limit: number }
  | { readonly do: "settle"; readonly which: readonly number[] }
  | { readonly do: "release"; readonly which: number }
  | { readonly do: "crash"; readonly member: 0 | 1 }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant("push" as const),
    keys: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    do: fc.constant("claim" as const),
    member: fc.constantFrom(0 as const, 1 as const),
    limit: fc.integer({ min: 1, max: 6 }),
  }),
  fc.record({ do: fc.constant("settle" as const), which: fc.array(fc.nat(50), { minLength: 1, maxLength: 4 }) }),
  fc.record({ do: fc.constant("release" as const), which: fc.nat(50) }),
  fc.record({ do: fc.constant("crash" as const), member: fc.constantFrom(0 as const, 1 as const) }),
)

const limits = fc.record({
  globalConcurrency: fc.option(fc.integer({ min: 3, max: 6 }), { nil: undefined }),
  keyConcurrency: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  fair: fc.boolean(),
})

test(
  "any order of pushes, claims, ends and crashes: never one too many, and all that may run is found",
  { timeout: 120_000 },
  () =>
    fc.assert(
      fc.asyncProperty(limits, fc.array(step, { minLength: 10, maxLength: 40 }), async (given, steps) => {
        await using s = await openStage(database)
        await declare(s, given)
        const { globalConcurrency = Infinity, keyConcurrency = Infinity } = given
        const members = [await s.member(), await s.member()]
        const keyOf = new Map<string, number>()
        const waiting = new Set<string>()
        const running = new Map<string, { claim: Claim; member: 0 | 1 }>()
        const runningOf = (key: number) => [...running.keys()].filter((id) => keyOf.get(id) === key).length
        /** What may be claimed now. */
        const room = () => {
          let most = 0
          for (const key of new Set(keyOf.values())) {
            const left = [...waiting].filter((id) => keyOf.get(id) === key).length
            most += Math.min(left, keyConcurrency - runningOf(key))
          }
          return Math.max(0, Math.min(most, globalConcurrency - running.size))
        }
        const claim = async (member: 0 | 1, limit: number) => {
          const { claims } = await s.call(members[member]!, { limit })
          for (const one of claims) {
            expect(waiting.delete(one.id)).toBe(true)
            running.set(one.id, { claim: one, member })
          }
          expect(running.size).toBeLessThanOrEqual(globalConcurrency)
          for (const key of new Set(keyOf.values())) expect(runningOf(key)).toBeLessThanOrEqual(keyConcurrency)
          return claims.length
        }
        for (const one of steps) {
          if (one.do === "push") {
            const ids = await push(s, one.keys.map(String))
            ids.forEach((id, index) => {
              keyOf.set(id, one.keys[index]!)
              waiting.add(id)
            })
          } else if (one.do === "claim") {
            const expected = Math.min(one.limit, room())
            let found = 0
            // What one call leaves because it looks at so many keys only, the next one finds.
            for (let calls = 0; calls < 5 && found < expected; calls++)
              found += await claim(one.member, expected - found)
            expect(found).toBe(expected)
          } else if (one.do === "settle" || one.do === "release") {
            const all = [...running.values()]
            if (all.length === 0) continue
            const chosen = new Set((one.do === "settle" ? one.which : [one.which]).map((n) => all[n % all.length]!))
            for (const { claim: held, member } of chosen) {
              const end = one.do === "settle" ? succeeded(held) : ({ ...held, state: "pending", charge: 0 } as const)
              await s.settle(members[member]!, [end])
              running.delete(held.id)
              if (one.do === "release") waiting.add(held.id)
            }
          } else {
            const lost = [...running.values()].filter(({ member }) => member === one.member)
            await s.expire(members[one.member]!)
            await takeBackClaims(s.db, s.names, 5)
            members[one.member] = await s.member()
            for (const { claim: held } of lost) {
              running.delete(held.id)
              const [row] = await s.rows(held.id)
              if (row?.state === "pending") waiting.add(held.id)
            }
          }
        }
        // Nothing that waits is forgotten: it all runs in the end.
        while (running.size > 0 || waiting.size > 0) {
          for (const { claim: held, member } of [...running.values()]) {
            await s.settle(members[member]!, [succeeded(held)])
            running.delete(held.id)
          }
          if (waiting.size > 0) expect(await claim(0, 50)).toBeGreaterThan(0)
        }
      }),
      { numRuns: Number(process.env.MILLRACE_LIMIT_RUNS ?? 12) },
    ),
)

test("what a rate has left, whatever was taken when, is what the model says", async () => {
  await using s = await openStage(database)
  const given = fc.record({
    tokens: fc.double({ min: 0, max: 100, noNaN: true }),
    elapsedMs: fc.integer({ min: 0, max: 100_000 }),
    allowed: fc.integer({ min: 1, max: 100 }),
    windowMs: fc.integer({ min: 1, max: 60_000 }),
    burst: fc.option(fc.integer({ min: 1, max: 200 })),
  })
  await fc.assert(
    fc.asyncProperty(given, async ({ tokens, elapsedMs, allowed, windowMs, burst }) => {
      const [row] = await s.sql<{ left: number }>(
        `select $s.limit_left($1, 'epoch', to_timestamp($2::float8 / 1000), $3, $4, $5) as left`,
        [tokens, elapsedMs, allowed, windowMs, burst],
      )
      const window = elapsedMs >= windowMs ? allowed : Math.min(tokens, allowed)
      const expected = burst === null ? window : Math.min(burst, tokens + (elapsedMs * allowed) / windowMs)
      expect(row!.left).toBeCloseTo(expected, 6)
    }),
    { numRuns: 200 },
  )
})
