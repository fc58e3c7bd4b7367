import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { hold, quick } from "./jobs.ts"
import { Scene } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** A queue whose jobs are found by polling, too, and one whose jobs only a notice brings. */
const queues = [
  { name: "polled", pollInterval: 200 },
  { name: "woken", pollInterval: 3_600_000 },
]

test("jobs go on starting while the listening connection is silent, and notices arrive again once it is replaced", async () => {
  const scene = await Scene.open(database.url, queues)
  const proxy = await scene.newProxy()
  const worker = await scene.worker("worker", { proxy })
  const first = await until("the worker listens", () => proxy.listener)
  first.silence()
  for (let n = 0; n < 3; n++) {
    const job = await scene.app.push(hold, {}, { queue: "polled" })
    await worker.started(job.id)
    worker.finish(job.id)
    // It was found by polling: there is still no other listening connection.
    expect(proxy.listener).toBe(first)
    await scene.reaches(job.id, "succeeded")
  }
  await until("it listens on another connection", () =>
    proxy.links.find((link) => link !== first && link.said('listen "')),
  )
  // Once it listens it looks at everything; what is pushed after that is found by its notice alone.
  const seen = await scene.app.push(quick, { n: 1 }, { queue: "woken" })
  await scene.reaches(seen.id, "succeeded")
  for (let n = 0; n < 3; n++) {
    const job = await scene.app.push(quick, { n }, { queue: "woken" })
    await scene.reaches(job.id, "succeeded")
  }
  expect(await scene.job(seen.id)).toMatchObject({ attempts: 1, crashes: 0 })
})

test("jobs that only a notice brings are found as soon as a lost listening connection is back", async () => {
  const scene = await Scene.open(database.url, queues)
  const proxy = await scene.newProxy()
  await scene.worker("worker", { proxy })
  const listener = await until("the worker listens", () => proxy.listener)
  proxy.refuse()
  listener.cut()
  const missed = await scene.app.push(quick, { n: 1 }, { queue: "woken" })
  proxy.heal()
  expect(await scene.reaches(missed.id, "succeeded")).toMatchObject({ attempts: 1 })
})
