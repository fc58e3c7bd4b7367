import { defineJob, type Millrace, type Reference, type UniqueKey } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
})
afterAll(() => own.close())

const one = defineJob<unknown>({ name: "one", queue: "first" })
const two = defineJob<unknown>({ name: "two", queue: "first" })

/** Pushes each, and tells which ended up as the same job: "aab" when the first two did. */
async function pattern(pushes: readonly (() => Promise<Reference>)[]): Promise<string> {
  const ids: string[] = []
  let letters = ""
  for (const push of pushes) {
    const { id, duplicate } = await push()
    expect(duplicate).toBe(ids.includes(id))
    if (!ids.includes(id)) ids.push(id)
    letters += "abcdefgh"[ids.indexOf(id)]
  }
  return letters
}

function inTwoQueuesOfTwoNames(uniqueKey: UniqueKey) {
  return [
    () => app.push(one, null, { uniqueKey }),
    () => app.push(one, null, { uniqueKey }),
    () => app.push(two, null, { uniqueKey }),
    () => app.push(one, null, { uniqueKey, queue: "second" }),
    () => app.push(two, null, { uniqueKey, queue: "second" }),
  ]
}

test("a key is unique over all queues and names unless it says otherwise", async () => {
  expect(await pattern(inTwoQueuesOfTwoNames("plain text"))).toBe("aaaaa")
  expect(await pattern(inTwoQueuesOfTwoNames({ key: "no scope" }))).toBe("aaaaa")
  expect(await pattern(inTwoQueuesOfTwoNames({ key: "global", scope: "global" }))).toBe("aaaaa")
})

test("with scope queue a key is unique in each queue", async () => {
  expect(await pattern(inTwoQueuesOfTwoNames({ key: "k", scope: "queue" }))).toBe("aaabb")
})

test("with scope name a key is unique for each name", async () => {
  expect(await pattern(inTwoQueuesOfTwoNames({ key: "k", scope: "name" }))).toBe("aabab")
})

test("keys of different scopes never meet, whatever is written in them", async () => {
  const keys: UniqueKey[] = [
    "n|one|k",
    { key: "k", scope: "name" },
    { key: "k", scope: "queue" },
    "q|first|k",
    "g|k",
    "k",
  ]
  const jobs = await Promise.all(keys.map((uniqueKey) => app.push(one, null, { uniqueKey, queue: "scopes" })))
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(keys.length)
})

test.each([
  ["text with a bar", "a|b|c"],
  ["quotes, backslashes and braces", `"a'b\\c{d},NULL`],
  ["500 characters", "k".repeat(500)],
  ["500 characters of four bytes", "🌍".repeat(250)],
  ["case and spaces", " K k "],
])("a key may be %s, and is read back as it was given", async (_, key) => {
  const job = await app.push(one, null, { uniqueKey: { key, scope: "queue" }, queue: "texts" })
  expect((await job.get())?.uniqueKey).toBe(key)
  expect((await app.push(one, null, { uniqueKey: { key, scope: "queue" }, queue: "texts" })).id).toBe(job.id)
})

test("a duplicate is told so, refers to the job that holds the key, and changes nothing of it", async () => {
  const holder = await app.push(one, "first", { uniqueKey: "held", priority: 3, queue: "holders" })
  const duplicate = await app.push(two, "second", { uniqueKey: "held", priority: 9, queue: "elsewhere" })
  expect(holder.duplicate).toBe(false)
  expect(duplicate).toMatchObject({ id: holder.id, duplicate: true, queue: "holders" })
  expect(await duplicate.get()).toMatchObject({ payload: "first", priority: 3, name: "one", queue: "holders" })
  expect(await duplicate.cancel()).toBe("cancelled")
})

test("a definition's uniqueKey gives the key of each payload, or none", async () => {
  const perUser = defineJob<{ user: string; anyway?: boolean }>({
    name: "per-user",
    uniqueKey: ({ user, anyway }) => (anyway ? undefined : { key: user, scope: "name" }),
  })
  const ada = await app.push(perUser, { user: "ada" })
  expect((await ada.get())?.uniqueKey).toBe("ada")
  expect((await app.push(perUser, { user: "ada" })).id).toBe(ada.id)
  expect((await app.push(perUser, { user: "bob" })).duplicate).toBe(false)
  expect((await app.push(perUser, { user: "ada", anyway: true })).duplicate).toBe(false)
  const other = await app.push(perUser, { user: "ada" }, { uniqueKey: "of the push" })
  expect([other.duplicate, (await other.get())?.uniqueKey]).toEqual([false, "of the push"])
})

test("what a definition's uniqueKey throws comes through, and nothing is stored", async () => {
  const broken = defineJob<string>({
    name: "broken-key",
    uniqueKey: () => {
      throw new Error("no key for this")
    },
  })
  expect((await rejection(app.push(broken, "x"))).message).toBe("no key for this")
  const { rows } = await own.pool.query("select 1 from millrace.jobs where name = 'broken-key'")
  expect(rows).toEqual([])
})

test("a key is held while its job waits, runs and waits for another attempt, and is free when it has finished", async () => {
  const running = gate()
  const finish = gate()
  const slow = defineJob<string>({
    name: "slow",
    queue: "slow",
    maxAttempts: 2,
    backoff: { initial: "1h", jitter: "none" },
  })
  await app.declareQueue({ name: "slow", tags: ["only=slow"] })
  await own.worker(app, {
    tags: ["only=slow"],
    handlers: [
      slow.handler(async (_, job) => {
        running.open()
        await finish.opened
        if (job.attempt === 1) throw new Error("once more")
      }),
    ],
  })
  const push = () => app.push(slow, "x", { uniqueKey: "slow key" })
  const first = await push()
  expect((await push()).id).toBe(first.id)
  await running.opened
  expect((await push()).id).toBe(first.id)
  finish.open()
  await app.wait([first], { states: ["retrying"], timeout: "20s" })
  expect((await push()).id).toBe(first.id)
  await first.retry()
  await first.result({ timeout: "20s" })
  const next = await push()
  expect([next.duplicate, next.id === first.id]).toEqual([false, false])
  expect((await app.wait([next], { states: ["retrying"], timeout: "20s" }))[0]!.uniqueKey).toBe("slow key")
  await next.cancel()
  expect((await push()).duplicate).toBe(false)
})

test("of many pushes of one key at once, from several apps, one job is made and all refer to it", async () => {
  const others = await Promise.all([own.app(), own.app(), own.app({ notifications: false })])
  const apps = [app, ...others]
  const jobs = await Promise.all(
    Array.from({ length: 200 }, (_, n) => apps[n % apps.length]!.push(one, n, { uniqueKey: "contended" })),
  )
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(1)
  expect(jobs.filter(({ duplicate }) => !duplicate)).toHaveLength(1)
  const { rows } = await own.pool.query("select 1 from millrace.jobs where unique_key = 'g|contended'")
  expect(rows).toHaveLength(1)
})

test("many pushes of many keys at once, in different orders, give one job per key", async () => {
  const other = await own.app()
  const keys = Array.from({ length: 100 }, (_, n) => `crossed ${n}`)
  const push = (via: Millrace) => (uniqueKey: string) => via.push(one, null, { uniqueKey, queue: "crossed" })
  const jobs = await Promise.all([...keys.map(push(app)), ...keys.toReversed().map(push(other))])
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(100)
  expect(jobs.filter(({ duplicate }) => duplicate)).toHaveLength(100)
})
