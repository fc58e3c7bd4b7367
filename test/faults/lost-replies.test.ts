// The database has done what it was asked, and the answer never arrives. See also DESIGN.md, "Promises" 1, 3 and 4.
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import type { Held, TcpProxy } from "../support/tcp-proxy.ts"
import { until, within } from "../support/until.ts"
import type { WorkerProcess } from "../support/worker-process.ts"
import { effect, flaky, hold, parent, quick } from "./jobs.ts"
import { Scene } from "./scene.ts"
import { claims, commits, pushes, settles } from "./statements.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** The two ways to lose an answer: with the connection, or without a sign, so that only a time limit tells. */
const losses: [string, (held: Held) => void][] = [
  ["with its connection", (held) => held.cut()],
  ["without a sign", (held) => held.drop()],
]

interface Stage {
  readonly scene: Scene
  readonly proxy: TcpProxy
  readonly worker: WorkerProcess
}

/** One worker, behind a proxy. */
async function stage(): Promise<Stage> {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 2, claimAhead: 0 }])
  const proxy = await scene.newProxy()
  const worker = await scene.worker("worker", { proxy, app: { queryTimeout: 1_500 } })
  return { scene, proxy, worker }
}

describe.each(losses)("an answer that is lost %s", (_, lose) => {
  test("#19 to a claim: the job is handed back uncharged, and runs once", async () => {
    const { scene, proxy, worker } = await stage()
    const id = crypto.randomUUID()
    const reply = proxy.holdReply({ statement: claims, reply: id })
    await scene.app.push(hold, {}, { id })
    const held = await reply
    expect(await scene.job(id)).toMatchObject({ state: "running", claims: 1, worker: "worker" })
    lose(held)
    await worker.started(id)
    worker.finish(id)
    expect(await scene.reaches(id, "succeeded")).toMatchObject({ attempts: 1, crashes: 0, claims: 2, errors: [] })
    expect(scene.runs(id)).toHaveLength(1)
  })

  test("#21 to a settlement: the job has succeeded once, and does not run again", async () => {
    const { scene, proxy, worker } = await stage()
    const job = await scene.app.push(hold, {})
    await worker.started(job.id)
    const reply = proxy.holdReply({ statement: settles(job.id) })
    worker.finish(job.id, "once")
    const held = await reply
    const [row] = await scene.history(job.id)
    lose(held)
    await until("the settlement is sent again", () => proxy.count(settles(job.id)) > 1)
    await runsOn(scene)
    expect(await scene.history(job.id)).toEqual([row])
    expect(scene.runs(job.id)).toHaveLength(1)
  })

  test("#21 to a failed attempt's settlement: one attempt is charged", async () => {
    const { scene, proxy } = await stage()
    const id = crypto.randomUUID()
    const reply = proxy.holdReply({ statement: settles(id) })
    await scene.app.push(flaky, { n: 1 }, { id })
    lose(await reply)
    expect(await scene.reaches(id, "succeeded")).toMatchObject({ attempts: 2, crashes: 0, errors: [{ attempt: 1 }] })
    expect(scene.runs(id)).toHaveLength(2)
  })

  test("#21 to the settlement of a job that pushed another: the other exists once", async () => {
    const { scene, proxy } = await stage()
    const reply = proxy.holdReply({ statement: (one, link) => commits(one) && link.said('"push_') })
    const job = await scene.app.push(parent, { n: 7 })
    lose(await reply)
    const { child } = (await job.result({ timeout: "30s" })) as { child: string }
    await scene.reaches(child, "succeeded")
    await until("the settlement is sent again", () => proxy.count(settles(job.id)) > 1)
    await runsOn(scene)
    expect(await scene.states()).toEqual({ succeeded: 3 })
    expect(scene.runs(job.id)).toHaveLength(1)
    expect(scene.runs(child)).toHaveLength(1)
  })

  test("#43 to the COMMIT of job.transaction: the effect is there once, and the handler hears of it", async () => {
    const { scene, proxy, worker } = await stage()
    const reply = proxy.holdReply({ statement: (one, link) => commits(one) && link.said(scene.effects) })
    const job = await scene.app.push(effect, { n: 1 })
    lose(await reply)
    await worker.event("committed", job.id)
    expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, result: { by: "worker" } })
    await runsOn(scene)
    expect(scene.runs(job.id)).toHaveLength(1)
    expect(await scene.effectsOf(job.id)).toBe(1)
    expect(await scene.history(job.id)).toHaveLength(1)
  })

  test("#22 to a push: the job exists once, although it was sent again", async () => {
    const { scene, proxy, app } = await pushing()
    const reply = proxy.holdReply({ statement: pushes("needle") })
    const pushed = app.push(quick, { n: 1, tag: "needle" }, { queue: "idle" })
    lose(await reply)
    const { id } = await pushed
    expect(proxy.count(pushes("needle"))).toBe(2)
    expect(await scene.states()).toEqual({ pending: 1 })
    expect(await scene.job(id)).toMatchObject({ state: "pending", claims: 0 })
  })

  test("#22 to a push whose job finishes meanwhile: it does not run again", async () => {
    const { scene, proxy, app } = await pushing()
    await scene.worker("worker")
    const reply = proxy.holdReply({ statement: pushes("needle") })
    const pushed = app.push(quick, { n: 1, tag: "needle" })
    const held = await reply
    await until("the job has finished", async () => (await scene.states()).succeeded === 1)
    lose(held)
    const { id, duplicate } = await pushed
    expect(proxy.count(pushes("needle"))).toBe(2)
    await runsOn(scene)
    expect(duplicate).toBe(false)
    expect(scene.runs(id)).toHaveLength(1)
    expect(await scene.history(id)).toHaveLength(1)
  })

  test("#22 to a push with a unique key whose job finishes meanwhile: it is still that job", async () => {
    const { scene, proxy, app } = await pushing()
    await scene.worker("worker")
    const reply = proxy.holdReply({ statement: pushes("needle") })
    const pushed = app.push(quick, { n: 1, tag: "needle" }, { uniqueKey: "only one" })
    const held = await reply
    await until("the job has finished", async () => (await scene.states()).succeeded === 1)
    lose(held)
    const { id } = await pushed
    await runsOn(scene)
    expect(scene.runs(id)).toHaveLength(1)
    expect(await scene.states()).toEqual({ succeeded: 2 })
  })

  test("#22 to a bulk push: each job exists once", async () => {
    const { scene, proxy, app } = await pushing()
    const reply = proxy.holdReply({ statement: pushes("needle") })
    const pushed = app.pushMany(
      quick,
      Array.from({ length: 50 }, (_, n) => ({ n, tag: "needle" })),
      { queue: "idle" },
    )
    lose(await reply)
    expect(new Set((await pushed).map((job) => job.id)).size).toBe(50)
    expect(await scene.states()).toEqual({ pending: 50 })
  })
})

/** An app behind a proxy; nobody runs the queue `idle`. */
async function pushing() {
  const scene = await Scene.open(database.url, [{ name: "idle", tags: [] }])
  const proxy = await scene.newProxy()
  const app = scene.newApp({ dsn: proxy.through(scene.dsn), queryTimeout: 1_500 })
  return { scene, proxy, app }
}

/** The queue goes on. */
async function runsOn(scene: Scene): Promise<void> {
  const job = await scene.app.push(quick, { n: 0 })
  await scene.reaches(job.id, "succeeded")
}

test("#43 a COMMIT of job.transaction that never arrives is done again: its effect is there once", async () => {
  const { scene, proxy } = await stage()
  const lost = proxy.swallow({ statement: (one, link) => commits(one) && link.said(scene.effects) })
  const job = await scene.app.push(effect, { n: 1 })
  await lost
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 2, crashes: 0 })
  expect(await scene.effectsOf(job.id)).toBe(1)
})

test.each(["1d", "none"] as const)(
  "a job.transaction that was rolled back is not taken for committed because the job was finished elsewhere (retention %s)",
  async (retention) => {
    const scene = await Scene.open(database.url)
    const proxy = await scene.newProxy()
    const lost = proxy.swallow({ statement: (one, link) => commits(one) && link.said(scene.effects) })
    const unlucky = await scene.worker("unlucky", { proxy, worker: { heartbeat: 200, lease: 1_000 } })
    const job = await scene.app.push(effect, { n: 1 }, { retention })
    await lost
    proxy.refuse()
    proxy.cut()
    const heir = await scene.worker("heir")
    await heir.event("committed", job.id)
    await scene.drained()
    proxy.heal()
    await unlucky.event("ended", job.id)
    expect(unlucky.all("committed", job.id)).toEqual([])
    expect(unlucky.all("refused", job.id)).toHaveLength(1)
    expect(await scene.effectsOf(job.id)).toBe(1)
  },
)

test("a push that is not confirmed in time says so, and sent again under its id it is the same push", async () => {
  const { scene, proxy } = await pushing()
  const app = scene.newApp({ dsn: proxy.through(scene.dsn), pushTimeout: 300 })
  const id = crypto.randomUUID()
  const reply = proxy.holdReply({ statement: pushes("needle") })
  const pushed = app.push(quick, { n: 1, tag: "needle" }, { id, queue: "idle" })
  const rejected = pushed.then(
    () => "confirmed",
    (error: unknown) => error,
  )
  const held = await reply
  proxy.refuse()
  held.cut()
  expect(await within(20_000, "the push is given up", rejected)).toMatchObject({ code: "MILLRACE_PUSH_UNKNOWN" })
  proxy.heal()
  expect(await scene.job(id)).toMatchObject({ state: "pending" })
  expect((await app.push(quick, { n: 1, tag: "needle" }, { id, queue: "idle" })).id).toBe(id)
  expect(await scene.states()).toEqual({ pending: 1 })
})

test("answers that are slow, but come, change nothing", async () => {
  const { scene, proxy } = await stage()
  proxy.delay(15)
  const jobs = await scene.app.pushMany(
    effect,
    Array.from({ length: 10 }, (_, n) => ({ n })),
  )
  await scene.drained()
  for (const job of jobs) {
    expect(await scene.job(job.id)).toMatchObject({ state: "succeeded", attempts: 1, claims: 1 })
    expect(await scene.effectsOf(job.id)).toBe(1)
  }
})
