import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import type { WorkerProcess } from "../support/worker-process.ts"
import { hold, quick } from "./jobs.ts"
import { Scene } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

interface Busy {
  readonly scene: Scene
  readonly worker: WorkerProcess
  /** Three that run, and four that were claimed ahead. */
  readonly running: readonly [prompt: string, obedient: string, stubborn: string]
  readonly ahead: readonly string[]
}

async function busyWorker(shutdownTimeout: number): Promise<Busy> {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 3, claimAhead: 4 }])
  const jobs = (await scene.app.pushMany(hold, [{}, { obey: true }, {}, {}, {}, {}, {}])).map((job) => job.id)
  const worker = await scene.worker("worker", { worker: { shutdownTimeout, grace: 300 } })
  for (const job of jobs.slice(0, 3)) await worker.started(job)
  await until("all are claimed", async () => (await scene.states()).running === 7)
  return { scene, worker, running: jobs.slice(0, 3) as [string, string, string], ahead: jobs.slice(3) }
}

test("after SIGTERM, jobs that finish in time have succeeded, the others go back uncharged, and the process exits with 0", async () => {
  const { scene, worker, running, ahead } = await busyWorker(3_000)
  const [prompt, obedient, stubborn] = running
  worker.kill("SIGTERM")
  // What has not started goes back at once, while the others still run.
  for (const job of ahead) await scene.reaches(job, "pending")
  worker.finish(prompt)
  await scene.reaches(prompt, "succeeded")
  expect(await worker.aborted(obedient)).toMatchObject({ code: "MILLRACE_SHUTDOWN" })
  expect(await worker.aborted(stubborn)).toMatchObject({ code: "MILLRACE_SHUTDOWN" })
  expect(worker.all("aborted", prompt)).toEqual([])
  expect(await worker.ended()).toEqual({ code: 0, signal: null })
  expect(worker.all("stopped")).toMatchObject([{ saved: true }])
  expect(await scene.job(prompt)).toMatchObject({ state: "succeeded", attempts: 1, crashes: 0 })
  for (const job of [obedient, stubborn, ...ahead]) {
    expect(await scene.job(job)).toMatchObject({ state: "pending", attempts: 0, crashes: 0, claims: 1, token: null })
  }
  expect(worker.all("started")).toHaveLength(3)
  expect(await scene.incarnations()).toEqual({})
})

test("what a stopped worker handed back runs elsewhere, as if for the first time", async () => {
  const { scene, worker, running, ahead } = await busyWorker(0)
  worker.kill("SIGTERM")
  expect(await worker.ended()).toEqual({ code: 0, signal: null })
  await scene.app.declareQueue({ name: "default", pollInterval: 200 }, { upsert: true })
  const heir = await scene.worker("heir")
  for (const job of [...running, ...ahead]) {
    expect(await heir.started(job)).toMatchObject({ attempt: 1, crashes: 0 })
    heir.finish(job)
    expect(await scene.reaches(job, "succeeded")).toMatchObject({ attempts: 1, crashes: 0, errors: [] })
  }
})

test("a second SIGTERM does not wait for jobs", async () => {
  const { scene, worker, running, ahead } = await busyWorker(600_000)
  worker.kill("SIGTERM")
  for (const job of ahead) await scene.reaches(job, "pending")
  worker.kill("SIGTERM")
  expect(await worker.ended()).toEqual({ code: 0, signal: null })
  for (const job of running) {
    expect(await scene.job(job)).toMatchObject({ state: "pending", attempts: 0, crashes: 0, token: null })
  }
  expect(await scene.incarnations()).toEqual({})
})

test("an idle worker exits at once on SIGTERM", async () => {
  const scene = await Scene.open(database.url)
  const worker = await scene.worker("worker", { worker: { shutdownTimeout: "10m" } })
  const job = await scene.app.push(quick, { n: 1 })
  await scene.reaches(job.id, "succeeded")
  worker.kill("SIGTERM")
  expect(await worker.ended()).toEqual({ code: 0, signal: null })
  expect(await scene.incarnations()).toEqual({})
})

test("a SIGTERM that comes while the worker is still starting is obeyed, too", async () => {
  const scene = await Scene.open(database.url)
  const proxy = await scene.newProxy()
  const announced = proxy.holdReply({ statement: ({ text }) => /update .*workers.* set queues/.test(text) })
  const job = await scene.app.push(hold, {})
  const worker = await scene.worker("worker", { proxy, waits: false, worker: { shutdownTimeout: 0, grace: 300 } })
  const held = await announced
  await worker.started(job.id) // it works before `start()` is done
  worker.kill("SIGTERM")
  held.release()
  expect(await worker.ended()).toEqual({ code: 0, signal: null })
  expect(await scene.job(job.id)).toMatchObject({ state: "pending", attempts: 0, crashes: 0 })
  expect(await scene.incarnations()).toEqual({})
})
