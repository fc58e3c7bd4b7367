import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import type { WorkerProcess } from "../support/worker-process.ts"
import { hold } from "./jobs.ts"
import { Scene, shortLived } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

interface Sleeper {
  readonly scene: Scene
  /** Runs every job, and is frozen. */
  readonly sleeper: WorkerProcess
  /** Runs them, too, now. */
  readonly heir: WorkerProcess
  readonly jobs: readonly string[]
}

/** A worker that was frozen with two running jobs, until another one runs them; there is no room for more on either. */
async function frozenPastItsLease(payload: { obey?: boolean } = {}): Promise<Sleeper> {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 2, claimAhead: 0 }])
  const sleeper = await scene.worker("sleeper", { worker: shortLived })
  const jobs = (await scene.app.pushMany(hold, [payload, payload])).map((job) => job.id)
  for (const job of jobs) await sleeper.started(job)
  sleeper.freeze()
  const heir = await scene.worker("heir")
  for (const job of jobs) await heir.started(job)
  return { scene, sleeper, heir, jobs }
}

/** The next job of the queue can only run here; when it has, all that there was to say about earlier ones is said. */
async function hasSpoken({ scene, sleeper, jobs }: Sleeper): Promise<void> {
  for (const job of jobs) await sleeper.event("ended", job)
  const next = await scene.app.push(hold, {})
  await sleeper.started(next.id)
  sleeper.finish(next.id)
  expect(await scene.reaches(next.id, "succeeded")).toMatchObject({ worker: "sleeper", attempts: 1, crashes: 0 })
}

test("#29 a thawed worker cannot end a job that was finished elsewhere", async () => {
  const frozen = await frozenPastItsLease()
  const { scene, sleeper, heir, jobs } = frozen
  for (const job of jobs) {
    heir.finish(job, "the right one")
    await scene.reaches(job, "succeeded")
  }
  const before = await Promise.all(jobs.map((job) => scene.history(job)))
  expect(before.map((rows) => rows.length)).toEqual([1, 1])
  const fillers = await scene.app.pushMany(hold, [{}, {}])
  for (const filler of fillers) await heir.started(filler.id)
  sleeper.finish(jobs[0]!, "too late")
  sleeper.fail(jobs[1]!, "too late")
  sleeper.thaw()
  await hasSpoken(frozen)
  expect(await Promise.all(jobs.map((job) => scene.history(job)))).toEqual(before)
  expect(await scene.states()).toEqual({ succeeded: 3, running: 2 })
  expect(await scene.job(jobs[0]!)).toMatchObject({ attempts: 1, crashes: 1, worker: "heir" })
})

test("#29 a thawed worker cannot end, or charge, a job that runs elsewhere now", async () => {
  const frozen = await frozenPastItsLease()
  const { scene, sleeper, heir, jobs } = frozen
  const before = await Promise.all(jobs.map((job) => scene.job(job)))
  expect(before).toMatchObject([
    { state: "running", claims: 2, worker: "heir" },
    { state: "running", claims: 2, worker: "heir" },
  ])
  sleeper.finish(jobs[0]!, "too late")
  sleeper.fail(jobs[1]!, "too late")
  sleeper.thaw()
  await hasSpoken(frozen)
  expect(await Promise.all(jobs.map((job) => scene.job(job)))).toEqual(before)
  for (const job of jobs) {
    heir.finish(job, "the right one")
    expect(await scene.reaches(job, "succeeded")).toMatchObject({
      attempts: 1,
      crashes: 1,
      errors: [],
      result: { by: "heir", value: "the right one" },
    })
    expect(scene.runs(job).map((run) => run.by)).toEqual(["sleeper", "heir"])
  }
})

test("#29 on a thawed worker the signals fire with MILLRACE_LEASE_LOST", async () => {
  const { sleeper, jobs } = await frozenPastItsLease()
  sleeper.thaw()
  for (const job of jobs) expect(await sleeper.aborted(job)).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
})

test("#29 a thawed worker whose handlers give up charges nothing and registers anew", async () => {
  const frozen = await frozenPastItsLease({ obey: true })
  const { scene, sleeper, heir, jobs } = frozen
  const first = sleeper.all("started", jobs[0])[0]!
  sleeper.thaw()
  await hasSpoken(frozen)
  for (const one of jobs) {
    expect(await scene.job(one)).toMatchObject({ state: "running", claims: first.claims + 1, attempts: 0, crashes: 1 })
    heir.finish(one)
    expect(await scene.reaches(one, "succeeded")).toMatchObject({ attempts: 1, crashes: 1 })
  }
  expect(Object.keys(await scene.incarnations()).sort()).toEqual(["heir", "sleeper"])
})
