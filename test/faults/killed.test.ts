import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { die, hold, quick } from "./jobs.ts"
import { Scene, shortLived } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("jobs of a killed worker finish elsewhere: a crash is counted, no attempt is charged", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 2, claimAhead: 0 }])
  const jobs = await scene.app.pushMany(hold, [{}, {}])
  const doomed = await scene.worker("doomed", { worker: shortLived })
  for (const job of jobs) await doomed.started(job.id)
  doomed.kill()
  const heir = await scene.worker("heir")
  for (const job of jobs) {
    expect(await heir.started(job.id)).toMatchObject({ attempt: 1, crashes: 1, claims: 2 })
    heir.finish(job.id, "done")
    expect(await scene.reaches(job.id, "succeeded")).toMatchObject({
      attempts: 1,
      crashes: 1,
      errors: [],
      result: { by: "heir", value: "done" },
      worker: "heir",
    })
  }
  await until("the dead worker's row is gone", async () => !("doomed" in (await scene.incarnations())))
})

test("jobs that a killed worker had claimed ahead finish elsewhere", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 1, claimAhead: 5 }])
  const jobs = await scene.app.pushMany(
    hold,
    Array.from({ length: 6 }, () => ({})),
  )
  const doomed = await scene.worker("doomed", { worker: shortLived })
  await doomed.started(jobs[0]!.id)
  await until("all are claimed", async () => (await scene.states()).running === 6)
  doomed.kill()
  const heir = await scene.worker("heir")
  for (const job of jobs) {
    await heir.started(job.id)
    heir.finish(job.id)
    expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, errors: [], worker: "heir" })
    expect(scene.runs(job.id)).toHaveLength(job === jobs[0] ? 2 : 1)
  }
})

test("jobs of a killed worker run side by side again", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 3, claimAhead: 0 }])
  const jobs = await scene.app.pushMany(hold, [{}, {}, {}])
  const doomed = await scene.worker("doomed", { worker: shortLived })
  for (const job of jobs) await doomed.started(job.id)
  doomed.kill()
  const heir = await scene.worker("heir")
  for (const job of jobs) await heir.started(job.id) // none has finished
  for (const job of jobs) heir.finish(job.id)
  for (const job of jobs) expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 1 })
})

/** Keeps one worker running, whatever becomes of it, until told otherwise. */
function keepAlive(scene: Scene): { stop(): Promise<number> } {
  const told = new AbortController()
  const lives = (async () => {
    let life = 0
    while (!told.signal.aborted) {
      const worker = await scene.worker(`life-${++life}`, { worker: shortLived, waits: false })
      await worker.exit
    }
    return life
  })()
  return {
    async stop() {
      told.abort()
      for (const worker of scene.workers) worker.kill()
      return lives
    },
  }
}

test("a job that kills its worker each time fails with MILLRACE_CRASHED, and its neighbours finish", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 1, claimAhead: 0 }])
  const killer = await scene.app.push(die, {})
  const neighbours = await scene.app.pushMany(
    quick,
    Array.from({ length: 20 }, (_, n) => ({ n })),
  )
  const lives = keepAlive(scene)
  try {
    const failed = await scene.reaches(killer.id, "failed", 60_000)
    expect(failed).toMatchObject({ attempts: 0, crashes: 3 })
    expect(failed.errors).toMatchObject([{ code: "MILLRACE_CRASHED" }])
    for (const { id } of neighbours) expect(await scene.reaches(id, "succeeded")).toMatchObject({ attempts: 1 })
    expect(scene.runs(killer.id)).toHaveLength(3)
  } finally {
    await lives.stop()
  }
})

test("a job that kills its worker does not take along those that were claimed with it", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 5, claimAhead: 5 }])
  const killer = await scene.app.push(die, {})
  const neighbours = await scene.app.pushMany(
    quick,
    Array.from({ length: 20 }, (_, n) => ({ n })),
  )
  const lives = keepAlive(scene)
  try {
    await scene.drained(60_000)
    expect(await killer.get()).toMatchObject({ state: "failed", attempts: 0, crashes: 3 })
    expect(await scene.states()).toEqual({ failed: 1, succeeded: neighbours.length })
  } finally {
    await lives.stop()
  }
})
