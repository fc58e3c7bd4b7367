import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import type { WorkerProcess } from "../support/worker-process.ts"
import { quick, work } from "./jobs.ts"
import { Scene } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const restarts = 8

/** Pushes short jobs one after the other until told to stop. */
function load(scene: Scene): { stop(): Promise<string[]> } {
  const told = new AbortController()
  const pushed = (async () => {
    const ids: string[] = []
    for (let n = 0; !told.signal.aborted; n++) {
      const job = n % 3 === 0 ? await scene.app.push(work, { ms: n % 100 }) : await scene.app.push(quick, { n })
      ids.push(job.id)
    }
    return ids
  })()
  return {
    stop() {
      told.abort()
      return pushed
    },
  }
}

test("workers are replaced one after the other under load: nothing is lost, no attempt is charged, nothing runs twice", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 20 }, { name: "long" }])
  const start = (n: number): Promise<WorkerProcess> =>
    scene.worker(`worker-${n}`, { worker: { shutdownTimeout: 1_000, grace: 300 } })
  const long = (
    await scene.app.pushMany(
      work,
      Array.from({ length: 5 }, () => ({ ms: 4_000 })),
      { queue: "long" },
    )
  ).map((job) => job.id)
  const alive = [await start(0), await start(1)]
  const pushing = load(scene)
  for (let n = 2; n < restarts + 2; n++) {
    const oldest = alive.shift()!
    oldest.kill("SIGTERM")
    alive.push(await start(n))
    expect(await oldest.ended()).toEqual({ code: 0, signal: null })
    expect(oldest.all("stopped")).toMatchObject([{ saved: true }])
  }
  const short = await pushing.stop()
  await scene.drained(60_000)

  expect(await scene.states()).toEqual({ succeeded: short.length + long.length })
  const { rows: charged } = await scene.pool.query(
    `select id, attempts, crashes, errors from ${scene.schema}.jobs_history where attempts <> 1 or crashes <> 0 or errors is not null`,
  )
  expect(charged).toEqual([])
  const handedBack = scene.handBacks()
  const starts = scene.starts()
  for (const job of [...short, ...long]) {
    // A second run needs an explanation: the one before it was told to stop.
    expect(starts.get(job), `runs of job ${job}`).toBe(1 + (handedBack.get(job) ?? 0))
  }
  expect(long.some((job) => handedBack.has(job))).toBe(true)
})
