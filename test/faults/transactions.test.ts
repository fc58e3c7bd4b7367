import pg from "pg"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { quick } from "./jobs.ts"
import { Scene } from "./scene.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

async function opened(): Promise<{ scene: Scene; client: pg.Client }> {
  const scene = await Scene.open(database.url)
  await scene.worker("worker")
  const client = new pg.Client({ connectionString: database.url })
  client.on("error", () => {})
  await client.connect()
  onTestFinished(() => client.end())
  return { scene, client }
}

/** The queue goes on; what was pushed before, and committed, has been claimed before. */
async function runsOn(scene: Scene): Promise<void> {
  const job = await scene.app.push(quick, { n: 0 })
  await scene.reaches(job.id, "succeeded")
}

test("a job pushed in a transaction that rolls back never runs", async () => {
  const { scene, client } = await opened()
  await client.query("begin")
  const job = await scene.app.push(quick, { n: 1 }, { tx: client })
  await client.query("rollback")
  await runsOn(scene)
  expect(scene.runs(job.id)).toEqual([])
  expect(await job.get()).toBeUndefined()
})

test("a job pushed in a transaction runs when it has committed, and not before", async () => {
  const { scene, client } = await opened()
  await client.query("begin")
  const job = await scene.app.push(quick, { n: 1 }, { tx: client })
  await runsOn(scene)
  expect(scene.runs(job.id)).toEqual([])
  await client.query("commit")
  expect(await scene.reaches(job.id, "succeeded")).toMatchObject({ attempts: 1 })
  expect(scene.runs(job.id)).toHaveLength(1)
})

test("a job whose pusher is killed before its commit never runs", async () => {
  const { scene } = await opened()
  const pusher = scene.process("pusher", "pusher", { dsn: database.url, schema: scene.schema, queue: "default" })
  const { job } = await pusher.event("pushed")
  pusher.kill()
  await pusher.exit
  await until("its session is over", async () => {
    const { rows } = await scene.pool.query(
      "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
    )
    return rows.length === 0
  })
  await runsOn(scene)
  expect(scene.runs(job)).toEqual([])
  expect(await scene.job(job)).toBeUndefined()
})

test("a job whose pusher is killed right after its commit runs", async () => {
  const { scene } = await opened()
  const proxy = await scene.newProxy()
  const reply = proxy.holdReply({ statement: ({ text }) => text === "commit" })
  const plan = { dsn: proxy.through(database.url), schema: scene.schema, queue: "default" }
  const pusher = scene.process("pusher", "pusher", plan)
  const { job } = await pusher.event("pushed")
  pusher.finish(job) // its word to commit
  await reply
  pusher.kill()
  expect(await scene.reaches(job, "succeeded")).toMatchObject({ attempts: 1 })
})
