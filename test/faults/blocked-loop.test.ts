import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { block, hold } from "./jobs.ts"
import { Scene, shortLived } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const lease = 2_000

test("a handler that blocks the event loop for three leases keeps its lease, and its job runs once", async () => {
  const scene = await Scene.open(database.url)
  const worker = await scene.worker("worker", { worker: { ...shortLived, lease } })
  const job = await scene.app.push(block, { ms: 3 * lease })
  await worker.started(job.id)
  await scene.worker("heir")
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({
    attempts: 1,
    crashes: 0,
    claims: 1,
    worker: "worker",
  })
  expect(scene.runs(job.id)).toHaveLength(1)
})

test("with only a pool, a handler that blocks the event loop loses the lease, and what it returns changes nothing", async () => {
  const scene = await Scene.open(database.url)
  const worker = await scene.worker("worker", { pooled: true, worker: shortLived })
  const job = await scene.app.push(block, { ms: 4_000 })
  await worker.started(job.id)
  const heir = await scene.worker("heir")
  await heir.started(job.id)
  await worker.event("ended", job.id)
  const next = await scene.app.push(hold, {})
  await until("somebody runs the next job", () => scene.runs(next.id).length > 0)
  for (const one of [worker, heir]) one.finish(next.id)
  await scene.reaches(next.id, "succeeded")
  expect(await scene.job(job.id)).toMatchObject({
    state: "succeeded",
    attempts: 1,
    crashes: 1,
    claims: 2,
    worker: "heir",
  })
  expect(await scene.history(job.id)).toHaveLength(1)
})

test("a process whose event loop is blocked past hangTimeout ends itself, says why, and its job is taken back at once", async () => {
  const scene = await Scene.open(database.url)
  const worker = await scene.worker("worker", { worker: { lease: "10m", hangTimeout: 1_000 } })
  const job = await scene.app.push(block, { ms: 90_000 })
  await worker.started(job.id)
  const heir = await scene.worker("heir")
  expect(await worker.ended()).toEqual({ code: null, signal: "SIGKILL" })
  expect(await heir.started(job.id)).toMatchObject({ attempt: 1, crashes: 1 })
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 1, worker: "heir" })
  expect(worker.output).toContain("event loop has been blocked")
})

test("a process that was frozen for longer than hangTimeout goes on", async () => {
  const scene = await Scene.open(database.url)
  const worker = await scene.worker("worker", { worker: { lease: "10m", hangTimeout: 1_000 } })
  const job = await scene.app.push(hold, {})
  await worker.started(job.id)
  worker.freeze()
  await until("it has been silent for three times as long", async () => {
    const { rows } = await scene.pool.query(
      `select from ${scene.schema}.workers where seen_at < now() - interval '3 seconds'`,
    )
    return rows.length === 1
  })
  worker.thaw()
  worker.finish(job.id)
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 0, claims: 1 })
  expect(worker.alive).toBe(true)
})
