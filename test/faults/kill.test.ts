import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage } from "./support/stage.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("jobs of a worker that was killed finish elsewhere: a crash is counted, no attempt is charged", async () => {
  await using s = await openStage(database.url)
  const first = await s.worker()
  const ids = await s.push({ do: "hold" }, { do: "hold" }, { do: "hold" })
  await Promise.all(ids.map((id) => first.hears({ kind: "started", id })))
  first.kill("SIGKILL")
  expect(await first.exited).toEqual({ code: null, signal: "SIGKILL" })

  const second = await s.worker()
  second.release()
  for (const row of await s.finished(ids)) {
    expect(row).toMatchObject({ state: "succeeded", attempts: 1, crashes: 1, claims: 2, result: second.pid, errors: null })
  }
  expect(await s.incarnations()).toMatchObject([{ pid: second.pid, alive: true }])
})

test("a job that kills its worker each time fails after maxCrashes, and its neighbours finish", async () => {
  await using s = await openStage(database.url, { concurrency: 4 })
  const ids = await s.push({ do: "hold" }, { do: "die" }, { do: "hold" }, { do: "quick" })
  const poison = ids[1]!
  for (let crash = 1; crash <= 2; crash++) {
    const victim = s.launch({ worker: { maxCrashes: 2 } })
    expect(await victim.exited).toEqual({ code: null, signal: "SIGKILL" })
  }
  const survivor = await s.worker({ worker: { maxCrashes: 2 } })
  survivor.release()
  await s.finished(ids)
  expect(await s.row(poison)).toMatchObject({
    state: "failed",
    attempts: 0,
    crashes: 2,
    claims: 2,
    errors: [{ code: "MILLRACE_CRASHED" }],
  })
  expect(survivor.said).not.toContainEqual(expect.objectContaining({ kind: "started", id: poison }))
  for (const id of ids.filter((one) => one !== poison)) {
    expect(await s.row(id)).toMatchObject({ state: "succeeded", attempts: 1 })
  }
})
