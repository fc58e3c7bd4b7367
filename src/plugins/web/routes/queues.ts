import { queueOptions, type QueueRecord } from "../../../model/queue.ts"
import { figures, queueView, withoutCounts, type QueueView } from "../overview.ts"
import { momentField, onlyFields } from "../params.ts"
import { notFound } from "../problem.ts"
import type { Call, Route } from "../route.ts"
import { maySeeQueue } from "../site.ts"

async function list(call: Call) {
  const { visitor } = call.known
  const { queues, at } = await figures(call.site)
  const seen = queues.filter((queue) => maySeeQueue(visitor, queue.name))
  return { at, queues: seen.map((queue) => shown(call, queue)) }
}

const shown = (call: Call, queue: QueueView) =>
  queueView(call.known.visitor.rule === undefined ? queue : withoutCounts(queue))

async function one(call: Call) {
  const { name = "" } = call.params
  const { queues } = await figures(call.site)
  const found = queues.find((queue) => queue.name === name)
  if (!found || !maySeeQueue(call.known.visitor, name)) throw notFound("such queue")
  await call.require("queues:read", { queue: name })
  return shown(call, found)
}

/** The stored row, once the visitor may act on it. @throws Refused. */
async function queueFor(call: Call, permission: string): Promise<QueueRecord> {
  const { name = "" } = call.params
  if (!maySeeQueue(call.known.visitor, name)) throw notFound("such queue")
  await call.require(permission, { queue: name })
  return call.site.app.queue(name)
}

async function changed(call: Call, before: QueueRecord) {
  call.note({ target: before.name, before, after: await call.site.app.queue(before.name) })
  return one(call)
}

/** Whatever a queue has, but what decides where its jobs run. */
const changeable = Object.keys(queueOptions).filter((name) => !["name", "executor", "executorOptions"].includes(name))

/** Changes what is named and leaves the rest; null takes a limit away. */
async function change(call: Call) {
  const before = await queueFor(call, "queues:edit")
  const fields = await call.fields()
  onlyFields(fields, changeable)
  const options: Record<string, unknown> = {}
  for (const name of Object.keys(queueOptions)) {
    const value = Object.hasOwn(fields, name) ? fields[name] : (before as unknown as Record<string, unknown>)[name]
    if (value !== null && value !== undefined) options[name] = value
  }
  await call.site.app.declareQueue(options as { name: string }, { upsert: true })
  return changed(call, before)
}

async function pause(call: Call) {
  const before = await queueFor(call, "queues:pause")
  const fields = await call.fields()
  onlyFields(fields, ["until"])
  const until = momentField(fields, "until")
  await call.site.app.pauseQueue(before.name, until === undefined ? {} : { until })
  return changed(call, before)
}

async function resume(call: Call) {
  const before = await queueFor(call, "queues:pause")
  await call.site.app.resumeQueue(before.name)
  return changed(call, before)
}

async function workers(call: Call) {
  const all = await call.site.app.workers()
  return { workers: all.map((worker) => seenBy(call, worker)) }
}

/** Queues that a visitor may not see are not told of. */
function seenBy(call: Call, worker: Awaited<ReturnType<Call["site"]["app"]["workers"]>>[number]) {
  const { visitor } = call.known
  const queues = worker.queues.filter((queue) => maySeeQueue(visitor, queue))
  return { ...worker, queues, ...(call.scope ? { running: null, handlers: [] } : {}) }
}

async function worker(call: Call) {
  const all = await call.site.app.workers()
  const found = all.find(({ id }) => id === call.params.id)
  if (!found) throw notFound("such worker")
  return seenBy(call, found)
}

export const queueRoutes: readonly Route[] = [
  { method: "GET", path: "/queues", permission: "queues:read", summary: "Queues with their counts", handle: list },
  { method: "GET", path: "/queues/:name", permission: "queues:read", summary: "One queue", handle: one },
  {
    method: "PATCH",
    path: "/queues/:name",
    permission: "queues:edit",
    summary: "Changes limits of a queue; null takes one away",
    body: {
      type: "object",
      properties: {
        concurrency: { type: ["integer", "null"] },
        timeout: { type: ["integer", "string", "null"] },
        memoryLimit: { type: ["integer", "string", "null"] },
        claimAhead: { type: ["integer", "null"] },
        pollInterval: { type: ["integer", "string"] },
        tags: { type: "array", items: { type: "string" } },
      },
    },
    handle: change,
  },
  {
    method: "POST",
    path: "/queues/:name/pause",
    permission: "queues:pause",
    summary: "Pauses a queue; with `until` it resumes by itself",
    body: { type: "object", properties: { until: { type: "string", description: 'ISO text, or "in 10m"' } } },
    handle: pause,
  },
  {
    method: "POST",
    path: "/queues/:name/resume",
    permission: "queues:pause",
    summary: "Resumes a queue",
    handle: resume,
  },
  {
    method: "GET",
    path: "/workers",
    permission: "workers:read",
    summary: "Workers with what they run",
    handle: workers,
  },
  { method: "GET", path: "/workers/:id", permission: "workers:read", summary: "One worker", handle: worker },
]
