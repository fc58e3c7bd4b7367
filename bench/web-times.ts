// The requests of the web scenario: what the dashboard asks for, as it asks for it. Every statement is timed.
import { Millrace } from "millrace"
import { webHandler } from "millrace/web"
import pg from "pg"

const searches: Readonly<Record<string, string>> = {
  everything: "",
  "state failed": "state:failed",
  "state pending": "state:pending",
  "state running (none)": "state:running",
  "a queue": "queue:queue-3",
  "a rare queue": "queue:rare-queue",
  "a name": "name:name-3",
  "names by pattern": "name:name-1*",
  "a rare name": "name:rare-name",
  "a tag": "tag:customer-100005",
  "a unique key": "key:key-1003",
  "a worker": "worker:worker-3",
  "created in an old hour": "created:-300h..-299h",
  "not a tag": "-tag:tag-3",
  "failed, by payload": "state:failed payload.customer.id:400",
  "failed, by error text": 'state:failed error:"card 4000 was"',
  "by payload, without an index": "payload.customer.id:400",
  "by error text, without a state": 'error:"card 4000 was"',
  "by attempts": "attempt>=3",
  "by duration": "duration>5s",
}

const faceted = [
  "everything",
  "state failed",
  "a queue",
  "a rare name",
  "failed, by payload",
  "by payload, without an index",
]

export interface Dashboard {
  readonly requests: readonly (readonly [string, () => Promise<unknown>])[]
  /** The slowest statement since it was last set to 0. */
  readonly slowest: { ms: number }
  close(): Promise<void>
}

export async function dashboard(url: string): Promise<Dashboard> {
  const slowest = { ms: 0 }
  const pool = timed(url, slowest)
  const app = new Millrace({ pool, logger: false, notifications: false })
  const handler = webHandler(app, { auth: () => ({ name: "bench", role: "admin" }) })
  for (let queue = 0; queue < 8; queue++) await app.declareQueue(`queue-${queue}`)
  const [one] = (await app.find({ name: "rare-name" })).jobs
  const get = (path: string) => async () => {
    const response = await handler(new Request(`http://localhost/api/v1${path}`))
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }
  const q = (text: string) => `q=${encodeURIComponent(text)}`
  const requests: [string, () => Promise<unknown>][] = [
    ...Object.entries(searches).map(([name, text]): [string, () => Promise<unknown>] => [
      `list: ${name}`,
      get(`/jobs?${q(text)}`),
    ]),
    ["list: an id", get(`/jobs?${q(one!.id)}`)],
    ["one job", get(`/jobs/${one!.id}`)],
    ...faceted.map((name): [string, () => Promise<unknown>] => [
      `facets: ${name}`,
      get(`/jobs/facets?${q(searches[name]!)}`),
    ]),
    ["queues", get("/queues")],
    ["one queue", get("/queues/queue-3")],
    ["workers", get("/workers")],
    ["overview", get("/overview")],
    ["suggest: names", get("/jobs/suggest?field=name&prefix=na")],
    ["suggest: payload", get("/jobs/suggest?field=payload&prefix=payload")],
  ]
  return {
    requests,
    slowest,
    close: async () => {
      await handler.close()
      await app.close()
      await pool.end()
    },
  }
}

/** A pool whose clients tell how long their statements took. */
function timed(connectionString: string, slowest: { ms: number }): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 10 })
  pool.on("connect", (client) => {
    const query = client.query.bind(client) as (config: object) => Promise<unknown>
    const measured = async (config: object) => {
      const start = performance.now()
      try {
        return await query(config)
      } finally {
        slowest.ms = Math.max(slowest.ms, performance.now() - start)
      }
    }
    Object.assign(client, { query: measured })
  })
  return pool
}
