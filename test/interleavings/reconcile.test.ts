import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob, retryAfter } from "millrace"
import { deferred } from "../../src/lib/deferred.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, type Stage } from "./support/stage.ts"
import { claiming, lost, reconciling, settling } from "./support/tap.ts"
import { until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const quick = { heartbeat: "50ms", lease: "20s" } as const

/** A worker whose statements can be held up; `job` runs until its gate opens. */
async function tapped(s: Stage, options: { readonly start?: boolean } = {}) {
  const { app, tap } = s.tappedApp()
  const job = defineJob<string, string>({ name: "job" })
  const gate = deferred<string>()
  const started: string[] = []
  const handlers = [
    job.handler(async (payload) => {
      started.push(payload)
      return payload === "long" ? gate.promise : payload
    }),
  ]
  const start = () => s.worker(app, { ...quick, handlers })
  if (options.start !== false) await start()
  return { app, tap, job, gate, started, start }
}

test("#19 claims whose reply was lost are handed back, uncharged, and run", async () => {
  await using s = await openStage(database)
  const { app, tap, job, started, start } = await tapped(s, { start: false })
  const references = await app.pushMany(job, ["a", "b", "c"])
  const happened = tap.lose(claiming)
  await start()
  await happened
  const records = await app.wait(references, { timeout: "20s" })
  expect(started).toEqual(["a", "b", "c"])
  for (const record of records) expect(record).toMatchObject({ state: "succeeded", claims: 2, attempts: 1, crashes: 0 })
})

test("#19 a call that was lost before it was carried out has claimed nothing", async () => {
  await using s = await openStage(database)
  const { app, tap, job, start } = await tapped(s, { start: false })
  const reference = await app.push(job, "a")
  const happened = tap.lose(claiming, false)
  await start()
  await happened
  expect(await reference.result({ timeout: "20s" })).toBe("a")
  expect(await s.row(reference.id)).toMatchObject({ claims: 1, attempts: 1 })
})

test("#19 of a lost call that settled and claimed, the outcome is sent again and the claims are handed back", async () => {
  await using s = await openStage(database)
  const { app, tap, job, gate, started } = await tapped(s)
  const first = await app.push(job, "long")
  await until("the first runs", () => started.length === 1)
  // While the reply to an empty claim is on its way, an outcome and a job gather for the next call.
  const empty = tap.hold("after", claiming)
  await empty.reached
  gate.resolve("done")
  const second = await app.push(job, "b")
  const happened = tap.lose((sent) => claiming(sent) && settling(sent))
  empty.release()
  await happened
  expect(await s.untilState(first.id, "succeeded")).toMatchObject({ attempts: 1, claims: 1, result: "done" })
  const row = await s.untilState(second.id, "succeeded")
  expect(row).toMatchObject({ attempts: 1, crashes: 0, claims: 2, result: "b" })
  expect(started).toEqual(["long", "b"])
})

test("#19 an incarnation's lost claims are asked to cancel: they end cancelled instead of going back", async () => {
  await using s = await openStage(database)
  const { app, tap, job, started, start } = await tapped(s, { start: false })
  const { id } = await app.push(job, "a")
  tap.next(claiming, async ({ send }) => {
    await send()
    await s.app().job(id).cancel("enough")
    throw lost()
  })
  await start()
  expect(await s.untilState(id, "cancelled", "succeeded")).toMatchObject({ state: "cancelled", attempts: 0 })
  expect(started).toEqual([])
})

test("#20 a claim in flight counts as known, however often it is asked for meanwhile", async () => {
  await using s = await openStage(database)
  const { app, tap, job, started, start } = await tapped(s, { start: false })
  const reference = await app.push(job, "a")
  const hold = tap.hold("after", claiming)
  await start()
  await hold.reached
  const asked = tap.count(reconciling)
  await until("three comparisons come and go", () => tap.count(reconciling) >= asked + 3)
  expect(started).toEqual([])
  expect(tap.count(settling), "nothing was handed back").toBe(0)
  hold.release()
  expect(await reference.result({ timeout: "10s" })).toBe("a")
  expect(await s.row(reference.id)).toMatchObject({ claims: 1, attempts: 1 })
})

test("#20 a claim whose reply arrives while the answer to the comparison travels counts as known", async () => {
  await using s = await openStage(database)
  const { app, tap, job, gate, started, start } = await tapped(s, { start: false })
  const reference = await app.push(job, "long")
  const claim = tap.hold("after", claiming)
  await start()
  await claim.reached
  const answer = tap.hold("after", reconciling)
  await answer.reached
  claim.release()
  await until("it runs", () => started.length === 1)
  answer.release()
  await nextComparison(tap)
  expect(tap.count(settling), "nothing was handed back").toBe(0)
  gate.resolve("done")
  expect(await reference.result({ timeout: "10s" })).toBe("done")
  expect(await s.row(reference.id)).toMatchObject({ claims: 1, attempts: 1 })
})

test("#20 a claim that flew when the comparison began is not handed back, even when its job has ended by then", async () => {
  await using s = await openStage(database)
  const { app, tap, job, start } = await tapped(s, { start: false })
  const reference = await app.push(job, "a")
  const claim = tap.hold("after", claiming)
  await start()
  await claim.reached
  const answer = tap.hold("after", reconciling)
  await answer.reached
  claim.release()
  expect(await reference.result({ timeout: "10s" })).toBe("a")
  const known = tap.hold("after", claiming) // the next call starts when the worker knows that the outcome is saved
  await known.reached
  known.release()
  answer.release()
  await nextComparison(tap)
  expect(tap.count(settling), "its own outcome, and no hand back").toBe(1)
  expect(await s.row(reference.id)).toMatchObject({ state: "succeeded", claims: 1, attempts: 1 })
})

test("#20 a claim that was made and answered after the comparison began counts as known", async () => {
  await using s = await openStage(database)
  const { app, tap, job, gate, started } = await tapped(s)
  const question = tap.hold("before", reconciling)
  await question.reached
  const reference = await app.push(job, "long")
  await until("it runs", () => started.length === 1)
  question.release()
  await nextComparison(tap)
  expect(tap.count(settling)).toBe(0)
  gate.resolve("done")
  expect(await reference.result({ timeout: "10s" })).toBe("done")
  expect(await s.row(reference.id)).toMatchObject({ claims: 1, attempts: 1 })
})

test("#20 a claim that flies when the comparison's answer arrives counts as known", async () => {
  await using s = await openStage(database)
  const { app, tap, job, gate, started } = await tapped(s)
  const question = tap.hold("before", reconciling)
  await question.reached
  const claim = tap.hold("after", (sent) => claiming(sent) && pushed)
  let pushed = false
  pushed = true
  const reference = await app.push(job, "long")
  await claim.reached
  question.release()
  await nextComparison(tap)
  expect(tap.count(settling)).toBe(0)
  claim.release()
  await until("it runs", () => started.length === 1)
  gate.resolve("done")
  expect(await reference.result({ timeout: "10s" })).toBe("done")
  expect(await s.row(reference.id)).toMatchObject({ claims: 1, attempts: 1 })
})

test.each([
  { ends: "succeeds", state: "succeeded" },
  { ends: "retries later", state: "retrying" },
])("#20 a job that $ends while the comparison is on its way is not touched by it", async ({ state }) => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp()
  const job = defineJob<null, string>({ name: "job" })
  const gate = deferred<void>()
  let runs = 0
  await s.worker(app, {
    ...quick,
    handlers: [
      job.handler(async () => {
        runs += 1
        await gate.promise
        return state === "succeeded" ? "done" : retryAfter("1h")
      }),
    ],
  })
  // Asked before the claim was made, carried out while the job runs, answered when it has ended: neither what was held
  // before nor what is held after knows the claim.
  const began = deferred<void>()
  const [ask, carriedOut, answer] = [deferred<void>(), deferred<void>(), deferred<void>()]
  tap.next(reconciling, async ({ send }) => {
    began.resolve()
    await ask.promise
    const reply = await send()
    carriedOut.resolve()
    await answer.promise
    return reply
  })
  await began.promise
  const { id } = await app.push(job, null)
  await until("it runs", () => runs === 1)
  ask.resolve()
  await carriedOut.promise
  gate.resolve()
  await s.untilState(id, state)
  await until("the worker knows that it is saved", () => tap.count(settling) === 1)
  answer.resolve()
  await nextComparison(tap)
  expect(await s.row(id)).toMatchObject({ state, claims: 1, attempts: 1 })
  expect(runs).toBe(1)
})

/** The comparisons of a worker come one after the other: a second one from now on means that the present one is over. */
async function nextComparison(tap: { count(match: typeof reconciling): number }): Promise<void> {
  const before = tap.count(reconciling)
  await until("the next comparison", () => tap.count(reconciling) >= before + 2)
}
