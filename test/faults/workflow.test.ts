import pg from "pg"
import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { Millrace, workflows, type Workflows } from "millrace"
import { startPostgres, type Postgres } from "../../tools/postgres.mjs"
import { until } from "../support/until.ts"
import { WorkerProcess } from "../support/worker-process.ts"
import { ten, undone } from "./workflow-jobs.ts"

/*
 * Whatever is killed, and although a pruner keeps no record of a job, each workflow ends as it would have ended.
 */

vi.setConfig({ testTimeout: 120_000 })

const given = process.env.DATABASE_URL !== undefined // that one is not ours to kill
let server: Postgres
let app: Millrace
let flows: Workflows
beforeAll(async () => {
  if (given) return
  server = await startPostgres()
  flows = workflows()
  app = new Millrace({ dsn: server.url, logger: false, plugins: [flows] })
  await app.migrate()
  await app.declareQueue({ name: "default", pollInterval: 200 }, { upsert: true })
  await query("create table effects (what text not null)")
})
afterAll(async () => {
  if (given) return
  await app.close()
  await server.stop()
})

async function query(text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url })
  client.on("error", () => {})
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

/** Keeps two workers running, whatever becomes of them. */
function keepAlive() {
  const told = new AbortController()
  const living = new Set<WorkerProcess>()
  const lane = async (name: string) => {
    for (let life = 1; !told.signal.aborted; life++) {
      const worker = new WorkerProcess("workflow-worker", `${name}-${life}`, { dsn: server.url })
      living.add(worker)
      await worker.exit
      living.delete(worker)
    }
  }
  const lanes = Promise.all([lane("a"), lane("b")])
  return {
    killOne(): void {
      living.values().next().value?.kill()
    },
    async [Symbol.asyncDispose]() {
      told.abort()
      for (const worker of living) worker.kill()
      await lanes
    },
  }
}

const finished = async (count: number) => {
  const [row] = await query("select count(*)::int as n from millrace.workflows where finished_at is not null").catch(
    () => [],
  )
  return row?.["n"] === count
}

test.skipIf(given)(
  "workers die at every step, the server restarts, and no record is kept: every workflow ends as without faults",
  async () => {
    const pushed = await flows.pushMany(
      ten,
      [...Array(10).keys()].map((n) => ({ killAt: n + 1 })),
    )
    const refused = await flows.pushMany(undone, [{ items: ["a", "b", "c"] }, { items: [] }])
    {
      await using crew = keepAlive()
      await until("some steps have ended", async () => {
        const [row] = await query("select count(*)::int as n from millrace.workflow_steps where state = 'succeeded'")
        return Number(row!["n"]) >= 30
      })
      await server.kill()
      await server.restart()
      crew.killOne()
      await until("all have finished", () => finished(12), 60_000)
    }
    for (const one of pushed) {
      const record = (await one.get())!
      expect(record).toMatchObject({ state: "succeeded", result: 10 })
      expect(record.steps.map(({ state, result }) => [state, result])).toEqual(
        Array.from({ length: 10 }, (_, n) => ["succeeded", n + 1]),
      )
    }
    for (const one of refused)
      expect(await one.get()).toMatchObject({ state: "failed", undone: "all", failure: { step: "refuse" } })
    const effects = await query("select what, count(*)::int as n from effects group by 1 order by 1")
    expect(effects).toEqual(
      [
        ["charge", 2],
        ["recall a", 1],
        ["recall b", 1],
        ["recall c", 1],
        ["refund", 2],
        ["ship a", 1],
        ["ship b", 1],
        ["ship c", 1],
      ].map(([what, n]) => ({ what, n })),
    )
    expect(await query("select id from millrace.jobs")).toEqual([])
  },
)
