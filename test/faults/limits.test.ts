import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { hold } from "./jobs.ts"
import { Scene, shortLived } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("a worker that is killed gives its global slots back with recovery, and no sooner", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", globalConcurrency: 3, concurrency: 10 }])
  const jobs = await scene.app.pushMany(
    hold,
    Array.from({ length: 6 }, () => ({})),
  )
  const doomed = await scene.worker("doomed", { worker: shortLived })
  await until("three run", async () => (await scene.states()).running === 3)
  const heir = await scene.worker("heir")
  expect((await scene.states()).running).toBe(3)
  doomed.kill()
  const started = new Set<string>()
  for (let ended = 0; ended < 6; ended++) {
    await until("the heir runs another one", () => {
      for (const job of jobs) if (scene.runs(job.id).some((run) => run.by === "heir")) started.add(job.id)
      return started.size > ended
    })
    const running = await scene.pool.query(`select id from "${scene.schema}".jobs where state = 'running'`)
    expect(running.rows.length).toBeLessThanOrEqual(3)
    const next = [...started].filter((id) => running.rows.some((row: { id: string }) => row.id === id))[0]!
    heir.finish(next)
    await scene.reaches(next, "succeeded")
  }
})

test("a worker that is killed gives its keys back, each job still one at a time", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", ordered: "retry", concurrency: 10 }])
  const jobs = []
  for (const key of ["a", "b"]) {
    for (let n = 0; n < 3; n++) jobs.push(await scene.app.push(hold, { tag: key }, { limitKey: key }))
  }
  const doomed = await scene.worker("doomed", { worker: shortLived })
  await Promise.all([doomed.started(jobs[0]!.id), doomed.started(jobs[3]!.id)])
  doomed.kill()
  const heir = await scene.worker("heir")
  for (const first of [0, 3]) {
    for (const job of jobs.slice(first, first + 3)) {
      await heir.started(job.id)
      const later = jobs.slice(jobs.indexOf(job) + 1, first + 3)
      expect(later.every(({ id }) => scene.runs(id).length === 0)).toBe(true)
      heir.finish(job.id)
      await scene.reaches(job.id, "succeeded")
    }
  }
})
