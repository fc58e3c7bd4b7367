// @pg-boss/dashboard by its own program, over jobs as pg-boss stores them, with the counts that its supervisor keeps.
import { connect, withDatabase } from "../server.ts"
import { importPeer, installPeer, peerFile, peerVersions } from "../peers.ts"
import { clickNext, mixOf, QUEUES, type Board, type Open, type Place } from "./board.ts"
import { answersAt, freePort, startHost } from "./host.ts"

const PEER = "pg-boss-dashboard"

interface PgBossModule {
  PgBoss: new (options: Record<string, unknown>) => PgBoss
}

interface PgBoss {
  on(event: "error", listener: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options: Record<string, unknown>): Promise<void>
  createQueue(name: string): Promise<void>
  supervise(): Promise<void>
}

export const openPgBoss: Open = async (place, look) => {
  await installPeer(PEER)
  return withDatabase(place.server, async (database) => {
    const id = await fill(database, place)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const args = [peerFile(PEER, "@pg-boss", "dashboard", "bin", "cli.js")]
    const env = { DATABASE_URL: database, PORT: String(port), HOST: "127.0.0.1" }
    const host = await startHost(process.execPath, args, env, answersAt(url))
    try {
      return await look(boardOf(url, place.jobs, id))
    } finally {
      await host.close()
    }
  })
}

/** Resolves to the id of some job that has succeeded. */
async function fill(database: string, { jobs, say }: Place): Promise<string> {
  const { PgBoss } = (await importPeer(PEER, "pg-boss")) as PgBossModule
  // Its figures are counted by the supervisor, here once instead of every minute: nobody works meanwhile.
  const boss = new PgBoss({ connectionString: database, supervise: false, schedule: false, persistQueueStats: true })
  boss.on("error", (error) => process.stderr.write(`pg-boss: ${error.message}\n`))
  await boss.start()
  try {
    for (let queue = 0; queue < QUEUES; queue++) await boss.createQueue(`queue-${queue}`)
    const id = await insertJobs(database, jobs, say)
    await boss.supervise()
    return id
  } finally {
    await boss.stop({ graceful: false })
  }
}

async function insertJobs(database: string, jobs: number, say: Place["say"]): Promise<string> {
  const { waiting, finished } = mixOf(jobs)
  say(`filling in ${waiting} waiting and ${finished} finished jobs`)
  const db = await connect(database)
  try {
    await db.query("set synchronous_commit = off")
    const chunk = 250_000
    for (let from = 0; from < finished; from += chunk) {
      await db.query(ended, [from, Math.min(from + chunk, finished) - 1, finished])
    }
    for (let from = 0; from < waiting; from += chunk) {
      await db.query(backlog, [from, Math.min(from + chunk, waiting) - 1])
    }
    await db.query("vacuum analyze pgboss.job_common")
    await db.query("checkpoint")
    const { rows } = await db.query<{ id: string; count: string }>(
      "select (select count(*) from pgboss.job) as count, (select id from pgboss.job where name = 'queue-3' limit 1)",
    )
    if (Number(rows[0]?.count) !== jobs) throw new Error(`expected ${jobs} jobs and found ${rows[0]?.count}`)
    return rows[0]!.id
  } finally {
    await db.end()
  }
}

// Ten per second, so that all fit into the week for which pg-boss keeps what has ended. The customer is a key of its own,
// since the dashboard's search knows the first level of a payload only.
const ended = `insert into pgboss.job (name, data, state, policy, output, start_after, created_on, started_on, completed_on)
  select 'queue-' || n % ${QUEUES}, jsonb_build_object('customer_id', n % 100000),
    (case when n % 200 = 0 then 'failed' when n % 1000 = 1 then 'cancelled' else 'completed' end)::pgboss.job_state, 'standard',
    case when n % 200 = 0 then jsonb_build_object('name', 'Error', 'message', 'card ' || n || ' was refused')
      else '{"ok": true}'::jsonb end,
    at, at, at, at + interval '1 second'
  from generate_series($1::integer, $2::integer) n,
    lateral (select now() - interval '1 hour' - ($3::integer - n) * interval '100 milliseconds' as at) t`

const backlog = `insert into pgboss.job (name, data, policy, start_after)
  select 'queue-' || n % ${QUEUES}, jsonb_build_object('customer_id', n % 100000), 'standard',
    now() + case when n % 4 = 0 then interval '1 day' else interval '0' end
  from generate_series($1::integer, $2::integer) n`

function boardOf(url: string, jobs: number, id: string): Board {
  const row = 'tbody a[href*="/jobs/"]'
  const job = `/queues/queue-3/jobs/${id}`
  const jobsPage = (query: string, rows: number) => ({ path: `/jobs?${query}`, shown: row, rows })
  return {
    versions: peerVersions(PEER),
    url,
    pages: [
      ...["/", "/jobs?state=all", "/queues", "/queues/queue-3?state=all", "/queues/queue-3/metrics", job],
      ...["/queues/create", "/schedules", "/schedules/new", "/send", "/migrations", "/warnings"],
    ],
    views: {
      overview: { path: "/", shown: 'tbody a[href^="/queues/queue-"]', rows: 1 },
      queue: { path: "/queues/queue-3?state=all", shown: row, rows: 20 },
      list: jobsPage("state=all", 20),
      deep: jobsPage(`state=all&page=${Math.floor(jobs / 40)}`, 20), // 20 to a page: the middle
      "search by id": jobsPage(`state=all&id=${id}`, 1),
      "search by payload": jobsPage("state=failed&data.customer_id=400", 1),
      job: { path: job, shown: "main pre", rows: 1 },
    },
    turn: clickNext(row, `[...document.querySelectorAll("button")].find((button) => button.textContent === "Next")`),
  }
}
