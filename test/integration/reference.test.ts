import { randomUUID } from "node:crypto"
import { defineJob, type Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, gate, rejection, until, type Fixture, type Gate } from "../support/app.ts"

let own: Fixture
let app: Millrace
beforeAll(async () => {
  own = await fixture()
  app = await own.app()
  await own.worker(app, { handlers: [work.handler((name, job) => handle(name, job.signal))] })
  await app.declareQueue({ name: "idle", tags: [] }) // nobody runs it
})
afterAll(() => own.close())

const work = defineJob<string, string>({ name: "work", maxAttempts: 1 })
const waiting = defineJob<string>({ name: "waiting", queue: "idle" })

const reached = new Map<string, Gate>()
const released = new Map<string, Gate>()
const gateOf = (map: Map<string, Gate>, name: string) => {
  if (!map.has(name)) map.set(name, gate())
  return map.get(name)!
}

/** Fails, returns at once, or waits until the test releases it (or its signal fires). */
async function handle(name: string, signal: AbortSignal): Promise<string> {
  if (name === "fail") throw new Error("as told")
  if (name === "quick") return "done"
  gateOf(reached, name).open()
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true })
  })
  aborted.catch(() => {})
  await Promise.race([gateOf(released, name).opened, aborted])
  return "released"
}

/** A job that is inside its handler. */
async function running(name: string) {
  const job = await app.push(work, name)
  await gateOf(reached, name).opened
  return job
}

const unknown = () => app.job(randomUUID())

test("get follows a job from push to finish", async () => {
  const job = await running("followed")
  const during = (await job.get())!
  expect(during).toMatchObject({ state: "running", claims: 1, attempts: 0, finishedAt: undefined })
  expect(during.worker).toEqual(expect.any(String))
  expect(during.startedAt).toBeInstanceOf(Date)
  gateOf(released, "followed").open()
  await job.result({ timeout: "20s" })
  const after = (await job.get())!
  expect(after).toMatchObject({ state: "succeeded", attempts: 1, result: "released", payload: "followed", errors: [] })
  expect(after.worker).toBe(during.worker)
  expect(after.createdAt).toEqual(during.createdAt)
  expect(after.finishedAt!.getTime()).toBeGreaterThanOrEqual(after.startedAt!.getTime())
})

test("get of a job that nobody knows is undefined", async () => {
  expect(await unknown().get()).toBeUndefined()
})

test("a reference made from an id, in whatever case, is the same job", async () => {
  const job = await app.push(waiting, "again")
  const again = app.job(job.id.toUpperCase())
  expect(again).toMatchObject({ id: job.id, queue: undefined, duplicate: false })
  expect(await again.get()).toEqual(await job.get())
  expect(await again.cancel("from an id")).toBe("cancelled")
  expect((await job.get())?.state).toBe("cancelled")
})

test("a waiting job is cancelled at once, with the reason, and its result says so", async () => {
  const job = await app.push(waiting, "x")
  expect(await job.cancel("changed our minds")).toBe("cancelled")
  expect(await job.get()).toMatchObject({
    state: "cancelled",
    claims: 0,
    attempts: 0,
    cancel: { reason: "changed our minds" },
  })
  const error = await rejection(job.result({ timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_CANCELLED" })
  expect(error.message).toContain("changed our minds")
})

test("scheduled jobs are cancelled at once as well", async () => {
  const job = await app.push(waiting, "x", { delay: "1h" })
  expect(await job.cancel()).toBe("cancelled")
  expect(await job.get()).toMatchObject({ state: "cancelled", cancel: { reason: undefined } })
})

test("cancelling wakes who waits for the job", async () => {
  const job = await app.push(waiting, "x")
  const waiter = rejection(job.result({ timeout: "20s" }))
  await until(async () => {
    const { rows } = await own.pool.query("select awaited from millrace.jobs where id = $1", [job.id])
    return rows[0]?.awaited === true
  }, "somebody waits")
  await job.cancel("enough")
  expect(await waiter).toMatchObject({ code: "MILLRACE_CANCELLED" })
})

test("cancelling a running job fires its signal, and it ends cancelled", async () => {
  const job = await running("cancelled while running")
  expect(await job.cancel("stop it")).toBe("requested")
  const error = await rejection(job.result({ timeout: "20s" }))
  expect(error).toMatchObject({ code: "MILLRACE_CANCELLED" })
  expect(error.message).toContain("stop it")
  expect(await job.get()).toMatchObject({ state: "cancelled", cancel: { reason: "stop it" } })
})

test("cancelling a finished job says finished and changes nothing", async () => {
  const job = await app.push(work, "quick")
  await job.result({ timeout: "20s" })
  const before = await job.get()
  expect(await job.cancel("too late")).toBe("finished")
  expect(await job.get()).toEqual(before)
})

test("cancelling twice says finished the second time", async () => {
  const job = await app.push(waiting, "x")
  expect([await job.cancel("a"), await job.cancel("b")]).toEqual(["cancelled", "finished"])
  expect((await job.get())?.cancel?.reason).toBe("a")
})

test("a reason that PostgreSQL cannot store is repaired, and never stops the cancellation", async () => {
  const reasons = ["with U+0000: \0.", "half a pair: \ud83d.", "x".repeat(1_999) + "🌍"]
  for (const reason of reasons) {
    const job = await app.push(waiting, "x")
    expect(await job.cancel(reason)).toBe("cancelled")
    expect((await job.get())?.state).toBe("cancelled")
  }
})

test("a cancelled job frees its unique key", async () => {
  const job = await app.push(waiting, "x", { uniqueKey: "freed" })
  await job.cancel()
  expect((await app.push(waiting, "x", { uniqueKey: "freed" })).duplicate).toBe(false)
})

test("a job whose long retention has no partition yet can be cancelled", async () => {
  const job = await app.push(waiting, "x", { retention: "200d" })
  expect(await job.cancel()).toBe("cancelled")
  expect((await job.get())?.state).toBe("cancelled")
})

test('a cancelled job with retention "none" is gone', async () => {
  const job = await app.push(waiting, "x", { retention: "none" })
  expect(await job.cancel()).toBe("cancelled")
  expect(await job.get()).toBeUndefined()
})

test.each([
  ["cancel", () => unknown().cancel()],
  ["retry", () => unknown().retry()],
  ["update", () => unknown().update({ priority: 1 })],
  ["result", () => unknown().result({ timeout: "20s" })],
])("%s of a job that nobody knows is refused, naming the id", async (_, call) => {
  const error = await rejection(call())
  expect(error).toMatchObject({ code: "MILLRACE_UNKNOWN_JOB" })
  expect(error.message).toMatch(/[0-9a-f]{8}-[0-9a-f]{4}/)
})

test("retrying a failed job runs it again under its id, its attempts counted anew, its claims and errors kept", async () => {
  const job = await app.push(work, "fail", { tags: ["t"], meta: { m: 1 }, priority: 3 })
  expect(await rejection(job.result({ timeout: "20s" }))).toMatchObject({ code: "MILLRACE_JOB_FAILED" })
  const before = (await job.get())!
  await job.retry()
  await until(
    async () => ((await job.get())?.claims ?? 0) === 2 && (await job.get())?.state === "failed",
    "it ran again",
  )
  const after = (await job.get())!
  expect(after).toMatchObject({ attempts: 1, claims: 2, tags: ["t"], meta: { m: 1 }, priority: 3 })
  expect(after.createdAt).toEqual(before.createdAt)
  expect(after.errors.map(({ message }) => message)).toEqual(["as told", "as told"])
  const { rows } = await own.pool.query("select 1 from millrace.all_jobs where id = $1", [job.id])
  expect(rows).toHaveLength(1)
})

test("a succeeded and a cancelled job run again", async () => {
  const done = await app.push(work, "quick")
  await done.result({ timeout: "20s" })
  const called = await app.push(work, "quick", { delay: "1h" })
  await called.cancel()
  await Promise.all([done.retry(), called.retry()])
  expect(await called.result({ timeout: "20s" })).toBe("done")
  await until(async () => (await done.get())?.claims === 2 && (await done.get())?.state === "succeeded", "done again")
  expect((await called.get())?.cancel).toBeUndefined()
})

test("an expired job that is retried has no expiry any more", async () => {
  const job = await app.push(work, "quick", { expiresAt: new Date(Date.UTC(2001, 0, 1)) })
  expect(await rejection(job.result({ timeout: "20s" }))).toMatchObject({ code: "MILLRACE_CANCELLED" })
  await job.retry()
  expect(await job.result({ timeout: "20s" })).toBe("done")
})

test("retrying a scheduled job makes it ready now", async () => {
  const job = await app.push(work, "quick", { delay: "1h" })
  await job.retry()
  expect(await job.result({ timeout: "20s" })).toBe("done")
})

test("retrying a ready job leaves it ready", async () => {
  const job = await app.push(waiting, "x")
  await job.retry()
  expect(await job.get()).toMatchObject({ state: "pending", claims: 0 })
})

test("retrying a running job is refused, and does not disturb it", async () => {
  const job = await running("not to be retried")
  const error = await rejection(job.retry())
  expect(error).toMatchObject({ code: "MILLRACE_JOB_RUNNING" })
  expect(error.message).toMatch(/cancel it, or wait/)
  gateOf(released, "not to be retried").open()
  expect(await job.result({ timeout: "20s" })).toBe("released")
})

test("retrying a job whose key another one holds meanwhile is refused, and the finished job stays", async () => {
  const first = await app.push(waiting, "first", { uniqueKey: "taken meanwhile" })
  await first.cancel()
  const second = await app.push(waiting, "second", { uniqueKey: "taken meanwhile" })
  const error = await rejection(first.retry())
  expect(error).toMatchObject({ code: "MILLRACE_KEY_TAKEN" })
  expect(error.message).toContain("Cancel that one first")
  expect((await first.get())?.state).toBe("cancelled")
  await second.cancel()
  await first.retry()
  expect(await first.get()).toMatchObject({ state: "pending", uniqueKey: "taken meanwhile" })
})

test("update changes priority and payload of a job that waits", async () => {
  const job = await app.push(waiting, "before", { priority: 1 })
  await job.update({ priority: -7 })
  expect(await job.get()).toMatchObject({ state: "pending", priority: -7, payload: "before" })
  await job.update({ payload: { any: ["JSON"] } })
  expect(await job.get()).toMatchObject({ state: "pending", priority: -7, payload: { any: ["JSON"] } })
  await job.update({ priority: 0 })
  expect(await job.get()).toMatchObject({ priority: 0 })
})

test("update can set the payload to null, false and 0", async () => {
  const job = await app.push(waiting, "before")
  for (const payload of [null, false, 0]) {
    await job.update({ payload })
    expect((await job.get())?.payload).toBe(payload)
  }
})

test("update moves a job to another time, and to now", async () => {
  const at = new Date(Date.UTC(2199, 0, 1))
  const job = await app.push(work, "quick", { delay: "1h" })
  await job.update({ runAt: at })
  expect(await job.get()).toMatchObject({ state: "scheduled", runAt: at })
  await job.update({ runAt: "in 2h" })
  expect((await job.get())?.state).toBe("scheduled")
  await job.update({ runAt: new Date(Date.UTC(2001, 0, 1)) })
  expect(await job.result({ timeout: "20s" })).toBe("done")
})

test("update makes a ready job wait", async () => {
  const job = await app.push(waiting, "x")
  await job.update({ runAt: "in 1h" })
  expect((await job.get())?.state).toBe("scheduled")
})

test("update changes all at once, or nothing when one of it is bad", async () => {
  const job = await app.push(waiting, "before")
  await job.update({ priority: 5, payload: "after", runAt: "in 1h" })
  const after = await job.get()
  expect(after).toMatchObject({ priority: 5, payload: "after", state: "scheduled" })
  expect(await rejection(job.update({ priority: 6, payload: 1n }))).toMatchObject({ code: "MILLRACE_BAD_JSON" })
  expect(await rejection(job.update({ priority: 6, runAt: "soon" }))).toMatchObject({ code: "MILLRACE_BAD_OPTION" })
  expect(await job.get()).toEqual(after)
})

test("an update of a job that runs or has finished is refused, with what to do", async () => {
  const job = await running("not to be updated")
  const error = await rejection(job.update({ priority: 1 }))
  expect(error).toMatchObject({ code: "MILLRACE_JOB_RUNNING" })
  expect(error.message).toMatch(/Retry it .*or push another/)
  gateOf(released, "not to be updated").open()
  await job.result({ timeout: "20s" })
  expect(await rejection(job.update({ payload: "late" }))).toMatchObject({ code: "MILLRACE_JOB_RUNNING" })
  expect(await job.get()).toMatchObject({ priority: 0, payload: "not to be updated" })
})

test("a reference is plain data when it is written as JSON", async () => {
  const job = await app.push(waiting, "x")
  expect(JSON.parse(JSON.stringify(job))).toEqual({ id: job.id, queue: "idle", duplicate: false })
})
