// Flows, while the processes that run them are killed at every point, PostgreSQL itself dies, and everything that has
// finished is pruned at once.
import { flows, type FlowRecord, type FlowsPlugin } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { startPostgres } from "../../tools/postgres.mjs"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { points, ten } from "./flow-jobs.ts"
import type { FlowPlan } from "./programs/flow-worker.ts"
import { Scene, shortLived } from "./scene.ts"

type Server = Awaited<ReturnType<typeof startPostgres>>

const given = process.env.DATABASE_URL !== undefined // that one is not ours to kill
let database: TestDatabase
let server: Server | undefined
beforeAll(async () => {
  database = await testDatabase()
  if (!given) server = await startPostgres({ fsync: true })
})
afterAll(async () => {
  await database.close()
  await server?.stop()
})

async function open(url: string) {
  const scene = await Scene.open(url)
  const plugin = flows()
  await scene.newApp({ plugins: [plugin] }).migrate()
  const kills = `"${scene.schema}_kills"`
  await scene.pool.query(`create table ${kills} (job uuid, point text, primary key (job, point))`)
  let lives = 0
  const plan = (): FlowPlan => ({
    app: { dsn: url, schema: scene.schema },
    worker: { ...shortLived, lease: 800, id: `life-${++lives}`, maxCrashes: 1_000 },
    effects: scene.effects,
    kills,
  })
  return { scene, plugin, kills, life: () => scene.process("flow-worker", `life-${lives + 1}`, plan()) }
}

type Opened = Awaited<ReturnType<typeof open>>

/** Keeps a worker running, whatever becomes of it, until told otherwise. */
function keepAlive({ life }: Opened): { stop(): Promise<number> } {
  const told = new AbortController()
  let now = life()
  const lives = (async () => {
    let count = 1
    for (; ; count++) {
      await now.exit
      if (told.signal.aborted) return count
      now = life()
    }
  })()
  return {
    async stop() {
      told.abort()
      now.kill()
      return lives
    },
  }
}

const finished = (plugin: FlowsPlugin, id: string): Promise<FlowRecord> =>
  until(
    `flow ${id} has ended`,
    async () => {
      const record = await plugin.get(id)
      return record?.finishedAt ? record : undefined
    },
    60_000,
  )

const unharmed = { steps: [1, 2, true, 42, "went", 7, 8, 10] }

async function expectUnharmed({ scene, plugin }: Opened, id: string): Promise<FlowRecord> {
  const record = await finished(plugin, id)
  expect(record).toMatchObject({ state: "succeeded", result: unharmed })
  // The two branches wait for something of their own, so either may come first.
  const steps = record.steps.map(({ key, status }) => `${key} ${status}`)
  const keys = ["step", "transaction", "uuid", "same", "twice", "twice.result", "sleep", "go", "left", "right", "last"]
  expect(new Set(steps)).toEqual(new Set(keys.map((key) => `${key} done`)))
  const { rows } = await scene.pool.query(`select n from ${scene.effects} where job = $1 order by n`, [id])
  expect(rows.map(({ n }: { n: number }) => n)).toEqual([2, 8, 10])
  return record
}

test("a flow that is killed at every point ends as if nothing had happened, and each stored effect happens once", async () => {
  const opened = await open(database.url)
  const { scene, plugin, kills } = opened
  const app = scene.app
  // One flow for each point, and one that is killed at many of them.
  const many = points.filter((_, index) => index % 8 === 0)
  const jobs = await Promise.all(points.map((point) => app.push(ten, { kill: [point] })))
  const unlucky = await app.push(ten, { kill: many })
  const lucky = await app.push(ten, { kill: [] })
  const all = [...jobs, unlucky, lucky]
  const lives = [keepAlive(opened), keepAlive(opened), keepAlive(opened)]
  for (const { id } of all) await plugin.signal(id, "go", "went")
  for (const { id } of all) await expectUnharmed(opened, id)
  const { rows } = await scene.pool.query<{ n: number }>(`select count(*)::int as n from ${kills}`)
  expect(rows[0]!.n).toBe(points.length + many.length) // each killed its process
  for (const keeper of lives) await keeper.stop()
})

test.skipIf(given)("flows go on after PostgreSQL was killed, from what is stored", async () => {
  const opened = await open(server!.url)
  const { scene, plugin } = opened
  const workers = [opened.life(), opened.life()]
  const jobs = await scene.app.pushMany(
    ten,
    Array.from({ length: 12 }, () => ({ kill: [] })),
  )
  for (let kill = 1; kill <= 2; kill++) {
    for (const { id } of jobs.slice((kill - 1) * 4, kill * 4)) await plugin.signal(id, "go", "went")
    await finished(plugin, jobs[(kill - 1) * 4]!.id)
    await server!.kill()
    await server!.restart()
  }
  for (const { id } of jobs.slice(8)) {
    await until("the signal is sent", () => plugin.signal(id, "go", "went").then(() => true))
  }
  for (const { id } of jobs) await expectUnharmed(opened, id)
  expect(workers.map((worker) => worker.alive)).toEqual([true, true])
})

test("a frozen worker that comes back after its flow went on elsewhere stores nothing", async () => {
  const opened = await open(database.url)
  const { scene, plugin } = opened
  const sleeper = opened.life()
  const { id } = await scene.app.push(ten, { kill: [], hold: true })
  await plugin.signal(id, "go", "went")
  await sleeper.started(id)
  sleeper.freeze()
  opened.life()
  const record = await expectUnharmed(opened, id)
  sleeper.thaw()
  sleeper.finish(id)
  // Another flow on the same worker shows that it is back, and has had its say.
  const next = await scene.app.push(ten, { kill: [] })
  await plugin.signal(next.id, "go", "went")
  await expectUnharmed(opened, next.id)
  expect(await plugin.get(id)).toEqual(record)
})
