import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import type { Statement, TcpProxy } from "../support/tcp-proxy.ts"
import { until } from "../support/until.ts"
import { effect, hold, quick } from "./jobs.ts"
import { Scene, shortLived } from "./scene.ts"
import { commits } from "./statements.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

const cuts: [string, (proxy: TcpProxy) => void][] = [
  ["whose connections are refused", (proxy) => (proxy.refuse(), proxy.cut())],
  ["whose connections are silent", (proxy) => proxy.blackhole()],
]
const ways: [string, boolean][] = [
  ["a connection string", false],
  ["only a pool", true],
]

describe.each(cuts)("a worker %s", (_, cut) => {
  test.each(ways)(
    "fires the signals before anybody else can start its jobs, and registers anew once healed (with %s)",
    async (_, pooled) => {
      const scene = await Scene.open(database.url, [{ name: "default" }, { name: "own", tags: ["lonely"] }])
      const proxy = await scene.newProxy()
      const lonely = await scene.worker("lonely", {
        proxy,
        pooled,
        worker: { ...shortLived, lease: 2_000, heartbeat: 450, tags: ["lonely"] },
      })
      const job = await scene.app.push(hold, { obey: true })
      await lonely.started(job.id)
      const heir = await scene.worker("heir")
      const { lonely: before } = await scene.incarnations()
      cut(proxy)
      const taken = await heir.started(job.id)
      expect(taken).toMatchObject({ attempt: 1, crashes: 1, claims: 2 })
      const aborted = await lonely.aborted(job.id)
      expect(aborted).toMatchObject({ code: "MILLRACE_LEASE_LOST" })
      expect(aborted.at).toBeLessThan(taken.at)

      heir.finish(job.id, "the right one")
      await scene.reaches(job.id, "succeeded")
      proxy.heal()
      const own = await scene.app.push(quick, { n: 1 }, { queue: "own" })
      expect(await scene.reaches(own.id, "succeeded", 60_000)).toMatchObject({ worker: "lonely", attempts: 1 })
      expect((await scene.incarnations()).lonely).not.toBe(before)
      expect(await scene.job(job.id)).toMatchObject({ state: "succeeded", attempts: 1, crashes: 1, worker: "heir" })
    },
  )
})

test.each(ways)("a renewal whose answer is lost without a sign costs no lease (with %s)", async (_, pooled) => {
  const scene = await Scene.open(database.url)
  const proxy = await scene.newProxy()
  const worker = await scene.worker("worker", {
    proxy,
    pooled,
    worker: { ...shortLived, heartbeat: 200, lease: 4_000 },
  })
  const job = await scene.app.push(hold, { obey: true })
  await worker.started(job.id)
  const { worker: before } = await scene.incarnations()
  const renews = ({ text }: Statement) => /update .*"workers".* set seen_at/.test(text)
  const held = await proxy.holdReply({ statement: renews })
  held.drop()
  const { rows } = await scene.pool.query<{ until: Date }>(
    `select expires_at + interval '1 second' as until from ${scene.schema}.workers where incarnation = $1`,
    [before],
  )
  await until("that renewal would have run out", async () => {
    const { rows: over } = await scene.pool.query("select where now() > $1::timestamptz", [rows[0]!.until])
    return over.length === 1
  })
  worker.finish(job.id)
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 0, claims: 1 })
  expect(worker.all("aborted")).toEqual([])
  expect((await scene.incarnations()).worker).toBe(before)
})

test("connections that are cut again and again cost no lease, no attempt and no effect", async () => {
  const scene = await Scene.open(database.url, [{ name: "default", concurrency: 10 }])
  const proxy = await scene.newProxy()
  const worker = await scene.worker("worker", { proxy })
  const held = await scene.app.push(hold, {})
  await worker.started(held.id)
  const { worker: before } = await scene.incarnations()
  const jobs = await scene.app.pushMany(
    effect,
    Array.from({ length: 400 }, (_, n) => ({ n })),
  )
  for (let cuts = 0; cuts < 15; cuts++) {
    const left = await scene.unfinished()
    proxy.cut()
    await until("work goes on", async () => (await scene.unfinished()) < Math.max(2, left - 10))
  }
  worker.finish(held.id)
  await scene.drained()
  expect(await scene.states()).toEqual({ succeeded: jobs.length + 1 })
  for (const { id } of jobs) expect(await scene.effectsOf(id)).toBe(1)
  expect(await scene.job(held.id)).toMatchObject({ attempts: 1, crashes: 0, claims: 1 })
  const { rows: crashed } = await scene.pool.query(`select id from ${scene.schema}.jobs_history where crashes > 0`)
  expect(crashed).toEqual([])
  expect((await scene.incarnations()).worker).toBe(before)
})

test.each(ways)("connections that end with their greeting end no worker (with %s)", async (_, pooled) => {
  const scene = await Scene.open(database.url)
  const proxy = await scene.newProxy()
  const worker = await scene.worker("worker", { proxy, pooled })
  proxy.terminateNext(12)
  proxy.cut()
  const job = await scene.app.push(quick, { n: 1 })
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 0 })
  await until("all that were to end so have ended", () => {
    if (proxy.toTerminate > 0) proxy.cut() // so that new ones are made
    return proxy.toTerminate === 0
  })
  await scene.reaches((await scene.app.push(quick, { n: 2 })).id, "succeeded")
  expect(worker.output).toBe("")
  expect(worker.alive).toBe(true)
})

test("a job whose dead worker left a transaction open waits for its end, and nothing else does", async () => {
  const scene = await Scene.open(database.url)
  const proxies = { doomed: await scene.newProxy(), heir: await scene.newProxy() }
  const left = proxies.doomed.swallow(
    { statement: (one, link) => commits(one) && link.said(scene.effects) },
    "silence", // the server never hears that the worker is gone
  )
  const doomed = await scene.worker("doomed", { proxy: proxies.doomed, worker: shortLived })
  const stuck = await scene.app.push(effect, { n: 1 })
  const link = await left
  doomed.kill()
  const second = await scene.worker("second", { worker: shortLived })
  const other = await scene.app.push(hold, {})
  await second.started(other.id)
  second.kill()
  // Whoever looks for dead workers in the order of their incarnations meets the stuck one first.
  const last = "ffffffff-ffff-4fff-bfff-ffffffffffff"
  await scene.pool.query(`update ${scene.schema}.workers set incarnation = $1 where id = 'second'`, [last])
  await scene.pool.query(`update ${scene.schema}.jobs set worker = $1 where id = $2`, [last, other.id])
  const heir = await scene.worker("heir", { proxy: proxies.heir })
  await until("both leases are over", async () => Object.keys(await scene.incarnations()).join() === "heir")

  await heir.started(other.id)
  heir.finish(other.id)
  expect(await scene.reaches(other.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 1 })
  const looksForDead = () => proxies.heir.count(({ text }) => text.includes('"recover_1"'))
  const sweeps = () => proxies.heir.count(({ text }) => text.includes('"recover_orphans_'))
  const before = { looks: looksForDead(), sweeps: sweeps() }
  await until("it is swept three times more", () => sweeps() >= before.sweeps + 3)
  expect(looksForDead() - before.looks).toBeLessThan(20)
  expect(await scene.job(stuck.id)).toMatchObject({ state: "running", crashes: 0 })

  link.cut()
  expect(await scene.reaches(stuck.id, "succeeded")).toMatchObject({ attempts: 1, crashes: 1, worker: "heir" })
  expect(await scene.effectsOf(stuck.id)).toBe(1)
})
