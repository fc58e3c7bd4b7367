import { afterAll, beforeAll, expect, test } from "vitest"
import { defineJob } from "millrace"
import { unblockHandled } from "../../src/postgres/jobs.ts"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { openStage, parked } from "./support/stage.ts"
import { saying, settling } from "./support/tap.ts"
import { times, until } from "./support/until.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const unblocking = saying("blocked_by = 'handler'")

test("#47 an announcement during a park finds nothing to unblock; the next one does", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const id = await s.pushOne({ name: "rare" })
  const [claim] = await s.claim(member)
  await a.begin()
  await s.settle(member, [parked(claim!)], a.db)
  expect([...(await unblockHandled(s.db, s.names, ["rare"]))]).toEqual([])
  await a.commit()
  expect(await s.row(id)).toMatchObject({ state: "blocked", blocked_by: "handler", attempts: 0 })
  expect([...(await unblockHandled(s.db, s.names, ["other"]))]).toEqual([])
  expect([...(await unblockHandled(s.db, s.names, ["rare"]))]).toEqual(["default"])
  expect(await s.row(id)).toMatchObject({ state: "pending", blocked_by: null })
})

test("#47 a job that is parked while a worker announces its handler is released at that worker's next poll", async () => {
  await using s = await openStage(database)
  const { app, tap } = s.tappedApp({ notifications: false })
  const common = defineJob<null, string>({ name: "common" })
  const rare = defineJob<null, string>({ name: "rare" })
  const park = tap.hold("before", settling)
  await s.worker(app, { queuePoll: "1h", handlers: [common.handler(() => "common")] })
  const { id } = await app.push(rare, null)
  await park.reached
  // It has looked for a worker with a handler and found none; now there is one.
  const other = s.tappedApp({ notifications: false })
  await s.worker(other.app, { queuePoll: "50ms", handlers: [rare.handler(() => "rare")] })
  await until("it has announced itself", () => other.tap.count(unblocking) >= 2)
  expect(await s.state(id)).toBe("running")
  park.release()
  expect(await s.untilState(id, "succeeded")).toMatchObject({ result: "rare", attempts: 1, crashes: 0, claims: 2 })
})

test("#47 a name whose handler another live worker has is left to that worker, not parked", async () => {
  await using s = await openStage(database)
  const app = s.app()
  await s.member("other", 600_000, ["rare"])
  const common = defineJob<null, string>({ name: "common" })
  const rare = defineJob<null, string>({ name: "rare" })
  await s.worker(app, { handlers: [common.handler(() => "common")] })
  const { id } = await app.push(rare, null)
  await until("it was claimed and handed back", async () => {
    const { state, claims } = await s.row(id)
    return state === "pending" && claims === 1
  })
  const reference = await app.push(common, null)
  expect(await reference.result({ timeout: "10s" })).toBe("common")
  expect(await s.row(id)).toMatchObject({ state: "pending", claims: 1, attempts: 0 })
})

test("#47 two workers that announce the same handler at once unblock every job once", async () => {
  await using s = await openStage(database)
  const [a] = await s.sessions()
  const member = await s.member()
  const ids = await s.push(times(3, { name: "rare" }))
  const claims = await s.claim(member)
  await s.settle(member, claims.map(parked))
  await a.begin()
  expect([...(await unblockHandled(a.db, s.names, ["rare"]))]).toEqual(["default"])
  expect([...(await unblockHandled(s.db, s.names, ["rare"]))], "skips what the other has locked").toEqual([])
  await a.commit()
  expect(await s.states(ids)).toEqual(["pending", "pending", "pending"])
})
