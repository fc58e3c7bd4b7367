// Ours: `millrace web`, alone over the installation, as one opens it first.
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { Millrace } from "millrace"
import type { Page } from "playwright-core"
import { root } from "../root.ts"
import { fill } from "../scenarios/find.ts"
import { onStage, type Stage } from "../stage.ts"
import { mixOf, QUEUES, untilFrame, type Board, type Open } from "./board.ts"
import { answersAt, freePort, startHost } from "./host.ts"

const PAGE_SIZE = 60

export const openMillrace: Open = ({ server, jobs, say }, look) =>
  onStage(server, "ours", async (stage) => {
    const { waiting, finished } = mixOf(jobs)
    await fill(stage, waiting, finished, say)
    await stage.db.query("checkpoint") // none falls into the measurement
    await declareQueues(stage.url)
    const [port, password] = [await freePort(), randomUUID()]
    const url = `http://127.0.0.1:${port}`
    const args = [join(root, "dist", "cli", "main.js"), "web", "--port", String(port)]
    const env = { DATABASE_URL: stage.url, MILLRACE_WEB_PASSWORD: password }
    const host = await startHost(process.execPath, args, env, answersAt(url))
    try {
      return await look(boardOf(stage, url, password, finished, await someJob(stage)))
    } finally {
      await host.close()
    }
  })

async function declareQueues(url: string): Promise<void> {
  await using app = new Millrace({ dsn: url, logger: false })
  for (let queue = 0; queue < QUEUES; queue++) await app.declareQueue(`queue-${queue}`)
}

async function someJob({ db }: Stage): Promise<string> {
  const { rows } = await db.query<{ id: string }>(
    "select id from millrace.jobs_history where queue = 'queue-3' and state = 'succeeded' limit 1",
  )
  return rows[0]!.id
}

function boardOf({ versions }: Stage, url: string, password: string, finished: number, id: string): Board {
  const row = "tbody tr[data-job]"
  const search = (q: string, rows: number) => ({ path: `/jobs?q=${encodeURIComponent(q)}`, shown: row, rows })
  // The history was filled in at one job per half second, and ends an hour ago.
  const middle = 3_600 + Math.floor(finished / 4)
  return {
    versions,
    url,
    pages: [
      ...["/", "/jobs", `/jobs/${id}`, "/errors", "/queues", "/queues/queue-3", "/workflows", "/flows", "/schedules"],
      ...["/workers", "/metrics", "/alerts", "/database", "/audit", "/settings"],
    ],
    views: {
      overview: { path: "/", shown: 'tbody a[href^="/queues/queue-"]', rows: 1 },
      queue: { path: "/queues/queue-3", shown: "a.chip", rows: 5 },
      list: { path: "/jobs", shown: row, rows: 20 },
      deep: search(`finished:-${middle}s..-${middle - 300}s`, 20),
      "search by id": search(id, 1),
      "search by payload": search("state:failed payload.customer.id:400", 1),
      job: { path: `/jobs/${id}`, shown: ".job-detail", rows: 1 },
    },
    turn: untilFrame(`(scrollTo(0, document.documentElement.scrollHeight), [...document.querySelectorAll("${row}")])
      .some((row) => row.ariaRowIndex > ${PAGE_SIZE + 1} && row.getBoundingClientRect().top < innerHeight)`),
    enter: (page) => signIn(page, url, password),
  }
}

async function signIn(page: Page, url: string, password: string): Promise<void> {
  await page.goto(url)
  const body = JSON.stringify({ name: "admin", password })
  const status = await page.evaluate<number>(
    `fetch("/api/v1/login", { method: "POST", headers: { "content-type": "application/json" }, body: ${JSON.stringify(body)} })
      .then((response) => response.status)`,
  )
  if (status !== 200) throw new Error(`signing in to the dashboard: ${status}`)
}
