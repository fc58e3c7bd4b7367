import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
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
  /** Ran both jobs, and is frozen. */
  readonly sleeper: WorkerProcess
  readonly jobs: readonly [string, string]
  /** Who runs this job now. */
  heirOf(job: string): WorkerProcess
}

/** Two jobs on two other workers than the one that ran them first, which is frozen; and no room for more on those two. */
async function frozenPastItsLease(payload: { obey?: boolean } = {}): Promise<Sleeper> {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 2, claimAhead: 0 }])
  const sleeper = await scene.worker("sleeper", { worker: shortLived })
  const [one, two] = await scene.app.pushMany(hold, [payload, payload])
  const jobs = [one!.id, two!.id] as const
  for (const job of jobs) await sleeper.started(job)
  sleeper.freeze()
  const heirs = [await scene.worker("heir-1"), await scene.worker("heir-2")]
  for (const job of jobs) await until(`job ${job} runs elsewhere`, () => scene.runs(job).length === 2)
  await fill(scene)
  const heirOf = (job: string) => heirs.find((heir) => heir.all("started", job).length > 0)!
  return { scene, sleeper, jobs, heirOf }
}

/** Two jobs more run, on whoever has room. */
async function fill(scene: Scene): Promise<void> {
  for (const filler of await scene.app.pushMany(hold, [{}, {}]))
    await until("the filler runs", () => scene.runs(filler.id).length > 0)
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
  const { scene, sleeper, jobs, heirOf } = frozen
  for (const job of jobs) {
    heirOf(job).finish(job, "the right one")
    await scene.reaches(job, "succeeded")
  }
  await fill(scene)
  const before = await Promise.all(jobs.map((job) => scene.history(job)))
  expect(before.map((rows) => rows.length)).toEqual([1, 1])
  sleeper.finish(jobs[0], "too late")
  sleeper.fail(jobs[1], "too late")
  sleeper.thaw()
  await hasSpoken(frozen)
  expect(await Promise.all(jobs.map((job) => scene.history(job)))).toEqual(before)
  expect(await scene.states()).toEqual({ succeeded: 3, running: 4 })
  expect(await scene.job(jobs[0])).toMatchObject({ attempts: 1, crashes: 1, worker: heirOf(jobs[0]).label })
})

test("#29 a thawed worker cannot end, or charge, a job that runs elsewhere now", async () => {
  const frozen = await frozenPastItsLease()
  const { scene, sleeper, jobs, heirOf } = frozen
  const before = await Promise.all(jobs.map((job) => scene.job(job)))
  expect(before).toMatchObject([
    { state: "running", claims: 2, worker: heirOf(jobs[0]).label },
    { state: "running", claims: 2, worker: heirOf(jobs[1]).label },
  ])
  sleeper.finish(jobs[0], "too late")
  sleeper.fail(jobs[1], "too late")
  sleeper.thaw()
  await hasSpoken(frozen)
  expect(await Promise.all(jobs.map((job) => scene.job(job)))).toEqual(before)
  for (const job of jobs) {
    heirOf(job).finish(job, "the right one")
    expect(await scene.reaches(job, "succeeded")).toMatchObject({
      attempts: 1,
      crashes: 1,
      errors: [],
      result: { by: heirOf(job).label, value: "the right one" },
    })
    expect(scene.runs(job).map((run) => run.by)).toEqual(["sleeper", heirOf(job).label])
  }
})

test("#29 on a thawed worker the signals fire with MILLRACE_LEASE_LOST", async () => {
  const { sleeper, jobs } = await frozenPastItsLease()
  sleeper.thaw()
  for (const job of jobs) expect(await sleeper.aborted(job)).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
})

test("#29 a thawed worker whose handlers give up charges nothing and registers anew", async () => {
  const frozen = await frozenPastItsLease({ obey: true })
  const { scene, sleeper, jobs, heirOf } = frozen
  const first = sleeper.all("started", jobs[0])[0]!
  sleeper.thaw()
  await hasSpoken(frozen)
  for (const one of jobs) {
    expect(await scene.job(one)).toMatchObject({ state: "running", claims: first.claims + 1, attempts: 0, crashes: 1 })
    heirOf(one).finish(one)
    expect(await scene.reaches(one, "succeeded")).toMatchObject({ attempts: 1, crashes: 1 })
  }
  expect(Object.keys(await scene.incarnations()).sort()).toEqual(["heir-1", "heir-2", "sleeper"])
})
