import { compare } from "../../model/rule.ts"
import { recordOf } from "../../client/record.ts"
import { isUuid } from "../../lib/uuid.ts"
import { findPage } from "../../postgres/find.ts"
import type { Data, Topic } from "./feed.ts"
import { jobDetail, jobRow } from "./job-view.ts"
import { readOperation } from "./operation-store.ts"
import { figures, overview, queueView, withoutCounts } from "./overview.ts"
import { badRequest } from "./problem.ts"
import type { Call } from "./route.ts"
import { readSearch, searchPage } from "./search.ts"
import { maySeeQueue, readable } from "./site.ts"

/** What can be followed: `overview`, `queues`, `workers`, `events`, `job:ID`, `jobs:QUERY`, `operation:ID`. */

const mostTopics = 20

/** The topics that a request names, `topics=a,b` or `topic=…` several times (a query may hold commas). @throws Refused. */
export async function topicsOf(call: Call): Promise<Topic[]> {
  const listed = call.query.getAll("topics").flatMap((text) => text.split(","))
  const names = [...new Set([...listed, ...call.query.getAll("topic")].filter((name) => name !== ""))]
  if (names.length === 0) throw badRequest("topics: at least one, such as overview,queues.")
  if (names.length > mostTopics) throw badRequest(`topics: at most ${mostTopics}.`)
  return Promise.all(names.map((name) => topicOf(call, name)))
}

async function topicOf(call: Call, name: string): Promise<Topic> {
  const [kind, ...more] = name.split(":")
  const about = more.join(":")
  // Two visitors share a source only when they see the same.
  const key = `${name} ${sightOf(call)}`
  if (about === "" && kind === "overview") return { name, key, ...overviewTopic(call) }
  if (about === "" && kind === "queues") return { name, key, ...queuesTopic(call) }
  if (about === "" && kind === "workers") return { name, key, ...workersTopic(call) }
  if (about === "" && kind === "events") return { name, key, permission: "events:read", hears: heardBy(call) }
  if (kind === "job" && isUuid(about)) return { name, key, ...jobTopic(call, about.toLowerCase()) }
  if (kind === "jobs") return { name, key, ...(await jobsTopic(call, about)) }
  if (kind === "operation" && isUuid(about)) return { name, key, ...operationTopic(call, about) }
  throw badRequest(
    `There is no topic ${JSON.stringify(name.slice(0, 100))}. Topics are overview, queues, workers, events, job:ID, jobs:QUERY and operation:ID.`,
  )
}

/** A redaction or a resolver of the application's may look at anything of a visitor, so they share nothing then. */
function sightOf({ known: { visitor }, site: { options } }: Call): string {
  const own = typeof options.redact === "function" || options.authorize !== undefined
  return JSON.stringify([visitor.queues ?? null, visitor.rule?.data ?? null, own ? visitor : null])
}

type Reading = Pick<Topic, "permission" | "read" | "wakes" | "every">

const anything = (kind: string): boolean => ["ready", "later", "queue", "done", "cancel"].includes(kind)

const overviewTopic = ({ site, known }: Call): Reading => ({
  permission: "overview:read",
  read: async () => {
    const { queues, ...rest } = await overview(site, known.visitor)
    return { ...rest, queues }
  },
  wakes: anything,
  every: 1_000,
})

const queuesTopic = ({ site, known: { visitor } }: Call): Reading => ({
  permission: "queues:read",
  read: async () => {
    const { queues } = await figures(site)
    const seen = queues.filter((queue) => maySeeQueue(visitor, queue.name))
    return Object.fromEntries(
      seen.map((queue) => [queue.name, queueView(visitor.rule === undefined ? queue : withoutCounts(queue))]),
    )
  },
  wakes: anything,
  every: 1_000,
})

const workersTopic = (call: Call): Reading => ({
  permission: "workers:read",
  read: async () => {
    const workers = await call.site.app.workers()
    const { visitor } = call.known
    return Object.fromEntries(
      workers.map((worker) => {
        const queues = worker.queues.filter((queue) => maySeeQueue(visitor, queue))
        return [worker.id, { ...worker, queues, ...(call.scope ? { running: null, handlers: [] } : {}) }]
      }),
    )
  },
  every: 1_000,
})

const jobTopic = ({ site, scope, known }: Call, id: string): Reading => ({
  permission: "jobs:read",
  read: async (): Promise<Data | undefined> => {
    const { db, names, notices } = site.context
    // Whoever holds it tells of its progress while somebody says that it is looked at.
    notices.send({ kind: "follow", about: id })
    const one = compare("id", "eq", id)
    const rule = scope ? one.and(scope) : one
    const [row] = await findPage(db, names, { rule, limit: 1, before: undefined })
    if (!row) return undefined
    const job = recordOf(row)
    const [seen] = await readable(site, known.visitor, [job])
    return seen && jobDetail(site.redact.job(seen, known.visitor))
  },
  wakes: (_, about) => about === id,
  every: 1_000,
})

/** The first page of a search, by id. */
async function jobsTopic(call: Call, text: string): Promise<Reading> {
  const search = await readSearch(call, text)
  const { site, known } = call
  return {
    permission: "jobs:read",
    read: async () => {
      const page = await searchPage(site, search, { limit: 50, cursor: undefined, first: "newest" })
      const jobs = await readable(site, known.visitor, page.jobs)
      return Object.fromEntries(jobs.map((job) => [job.id, jobRow(site.redact.job(job, known.visitor))]))
    },
    wakes: search.scan ? () => false : anything,
    every: search.scan ? 5_000 : 1_000,
  }
}

const operationTopic = ({ site, scope, known }: Call, id: string): Reading => ({
  permission: "operations:read",
  read: async () => {
    await site.ready()
    const row = await readOperation(site.context.db, site.context.names, id)
    if (!row || (scope && row.created_by !== known.visitor.name)) return undefined
    const { state, total, matched, changed, refused, kept, error, finished_at } = row
    return {
      id: row.id,
      action: row.action,
      state,
      total,
      matched,
      changed,
      refused,
      kept,
      error,
      finishedAt: finished_at,
    }
  },
  every: 250,
})

/** Events name queues; of those that a visitor may not see nothing is told, and with a rule of its own nothing about jobs. */
function heardBy({ known: { visitor } }: Call): (name: string, body: unknown) => boolean {
  return (name, body) => {
    if (visitor.rule && /^(job|queue)\./.test(name)) return false
    const { queue } = (body ?? {}) as { queue?: unknown }
    if (typeof queue === "string") return maySeeQueue(visitor, queue)
    return visitor.queues === undefined || !/^(job|queue)\./.test(name)
  }
}
