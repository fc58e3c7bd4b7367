import { randomUUID } from "node:crypto"
import { defineJob, snooze, type JobState, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, type Fixture } from "../support/app.ts"

let own: Fixture
let app: Millrace

const step = defineJob<string>({ name: "step", maxAttempts: 2, backoff: { initial: "1h", jitter: "none" } })
const unhandled = defineJob({ name: "unhandled" })
const idle = defineJob({ name: "idle", queue: "idle" })
const finish = gate()

beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await app.declareQueue({ name: "idle", tags: [] }) // nobody runs it
  await own.worker(app, {
    handlers: [
      step.handler(async (how) => {
        if (how === "hold") await finish.opened
        if (how === "retry") throw new Error("once more")
        return how === "snooze" ? snooze("1h") : undefined
      }),
    ],
  })
})
afterAll(() => own.close())

const stateOf = async (job: { id: string }, states: JobState[]) =>
  (await app.wait([app.job(job.id)], { states, timeout: "20s" }))[0]!.state

test("without states, wait means finished, whatever the end", async () => {
  const good = await app.push(step, "quick")
  const bad = await app.push(step, "retry", { maxAttempts: 1 })
  const gone = await app.push(idle)
  await gone.cancel()
  const records = await app.wait([good, bad, gone], { timeout: "20s" })
  expect(records.map(({ state }) => state)).toEqual(["succeeded", "failed", "cancelled"])
})

test("the records come in the order that was asked for, a job asked for twice comes twice", async () => {
  const jobs = await app.pushMany(step, ["1", "2", "3"])
  const [a, b, c] = jobs as [(typeof jobs)[0], (typeof jobs)[0], (typeof jobs)[0]]
  const records = await app.wait([c, a, b, a], { timeout: "20s" })
  expect(records.map(({ payload }) => payload)).toEqual(["3", "1", "2", "1"])
})

test("nothing to wait for is there at once", async () => {
  expect(await app.wait([])).toEqual([])
})

test("each state can be waited for", async () => {
  expect(await stateOf(await app.push(idle), ["pending"])).toBe("pending")
  expect(await stateOf(await app.push(idle, null, { delay: "1h" }), ["scheduled"])).toBe("scheduled")
  expect(await stateOf(await app.push(step, "hold"), ["running"])).toBe("running")
  expect(await stateOf(await app.push(step, "retry"), ["retrying"])).toBe("retrying")
  expect(await stateOf(await app.push(step, "snooze"), ["scheduled"])).toBe("scheduled")
  expect(await stateOf(await app.push(unhandled), ["blocked"])).toBe("blocked")
  expect(await stateOf(await app.push(step, "quick"), ["succeeded"])).toBe("succeeded")
  finish.open()
})

test("any one of several states is enough", async () => {
  expect(await stateOf(await app.push(idle), ["running", "pending", "failed"])).toBe("pending")
})

test("a job that has finished otherwise ends the waiting with its record", async () => {
  const job = await app.push(step, "quick")
  await job.result({ timeout: "20s" })
  expect(await stateOf(job, ["failed"])).toBe("succeeded")
  expect(await stateOf(job, ["running"])).toBe("succeeded")
})

test("wait ends at the timeout, naming a job that is not there yet", async () => {
  const done = await app.push(step, "quick")
  const waits = await app.push(idle)
  const error = await rejection(app.wait([done, waits], { timeout: 300 }))
  expect(error).toMatchObject({ code: "MILLRACE_TIMEOUT" })
  expect(error.message).toContain(waits.id)
})

test("a job that nobody knows ends the waiting", async () => {
  const error = await rejection(app.wait([await app.push(idle), app.job(randomUUID())], { timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
})

test('the end of a job with retention "none" cannot be waited for, its start can', async () => {
  const job = await app.push(idle, null, { retention: "none" })
  expect(await rejection(app.wait([job], { timeout: "20s" }))).toMatchObject({ code: "MILLRACE_NO_RESULT" })
  expect(await stateOf(job, ["pending"])).toBe("pending")
})

test("a state that does not exist, and no state at all, are refused", async () => {
  const job = await app.push(idle)
  const misspelt = await rejection(app.wait([job], { states: ["succeded" as JobState] }))
  expect(misspelt).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(misspelt.message).toMatch(/wait\.states\[0\].*"succeded"/)
  expect(await rejection(app.wait([job], { states: [] }))).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
})
