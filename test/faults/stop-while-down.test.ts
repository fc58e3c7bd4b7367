import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import type { TcpProxy } from "../support/tcp-proxy.ts"
import { hold } from "./jobs.ts"
import { Scene, shortLived } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const outages: [string, (proxy: TcpProxy) => void][] = [
  ["is down", (proxy) => (proxy.refuse(), proxy.cut())],
  ["does not answer", (proxy) => proxy.blackhole()],
]

test.each(outages)(
  "a worker that stops while its database %s gives up in bounded time, its process ends, and others finish its jobs",
  async (_, breakDown) => {
    const scene = await Scene.open(database.url, [{ name: "default", concurrency: 2, claimAhead: 2 }])
    const proxy = await scene.newProxy()
    const worker = await scene.worker("worker", {
      proxy,
      app: { queryTimeout: 3_000 },
      worker: { ...shortLived, lease: 60_000, shutdownTimeout: 500, grace: 300 },
    })
    const jobs = (await scene.app.pushMany(hold, [{}, { obey: true }, {}, {}])).map((job) => job.id)
    for (const job of jobs.slice(0, 2)) await worker.started(job)
    breakDown(proxy)
    worker.finish(jobs[0]!, "nobody hears of it")
    await worker.event("ended", jobs[0])
    worker.kill("SIGTERM")
    // Its bounds: shutdownTimeout, grace, ten seconds for outcomes, and the farewell to connections that do not answer.
    expect(await worker.ended(45_000)).toEqual({ code: 0, signal: null })
    expect(worker.all("stopped")).toMatchObject([{ saved: false }])

    // The lease would last for long; nobody else has to wait for that here.
    await scene.pool.query(
      `update ${scene.schema}.workers set expires_at = now() - interval '1 second' where id = 'worker'`,
    )
    const heir = await scene.worker("heir")
    for (const job of jobs) {
      expect(await heir.started(job)).toMatchObject({ attempt: 1 })
      heir.finish(job)
      expect(await scene.reaches(job, "succeeded")).toMatchObject({ attempts: 1, worker: "heir", errors: [] })
    }
  },
)
