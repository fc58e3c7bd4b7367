import type { Stats } from "../../client/overview.ts"
import { unfinishedStates, type JobState } from "../../model/state.ts"
import type { QueueRecord } from "../../model/queue.ts"
import type { Counted } from "./facets.ts"
import { maySeeQueue, type Site } from "./site.ts"
import type { Visitor } from "./visitor.ts"

/** Figures of queues and workers. Counts are live; they are read once for all who ask at the same moment. */

export interface QueueView extends QueueRecord {
  readonly counts: Partial<Record<JobState, Counted>>
  /** How long the ready job that has waited longest has done so. */
  readonly oldestReadyMs: number | null
  /** Ready jobs of all. */
  readonly waiting: Counted
  readonly workers: readonly string[]
  /** Jobs that the live workers may run at a time; null: as many as the executor likes. */
  readonly slots: number | null
  /** False: no live worker runs it. */
  readonly served: boolean
}

const pending = new WeakMap<Site, Promise<Snapshot>>()

interface Snapshot {
  readonly queues: readonly QueueView[]
  readonly workers: Awaited<ReturnType<Site["app"]["workers"]>>
  readonly finished: Stats["finished"]
  readonly at: Date
}

/** Everything at one moment; questions that come meanwhile share the answer. */
export function figures(site: Site): Promise<Snapshot> {
  const under = pending.get(site)
  if (under) return under
  const asked = read(site).finally(() => pending.delete(site))
  pending.set(site, asked)
  return asked
}

async function read({ app, context: { db } }: Site): Promise<Snapshot> {
  const [records, workers, stats, { rows }] = await Promise.all([
    app.queues(),
    app.workers(),
    app.stats(),
    db.query<{ at: Date }>("select now() as at"),
  ])
  const alive = workers.filter((worker) => worker.alive)
  const queues = records.map((queue) => {
    const serving = alive.filter((worker) => worker.queues.includes(queue.name)).map((worker) => worker.id)
    const counts = countsOf(stats.queues[queue.name] ?? {})
    return {
      ...queue,
      counts,
      oldestReadyMs: stats.oldestReadyMs[queue.name] ?? null,
      waiting: counts.pending ?? { value: 0, capped: false },
      workers: serving,
      slots: queue.concurrency === undefined ? null : queue.concurrency * serving.length,
      served: serving.length > 0,
    }
  })
  return { queues, workers, finished: stats.finished, at: rows[0]!.at }
}

function countsOf(states: Stats["queues"][string]): Partial<Record<JobState, Counted>> {
  return Object.fromEntries(
    Object.entries(states).map(([state, { count, exact }]) => [state, { value: count, capped: !exact }]),
  )
}

/** A queue as JSON: nothing is left out because it is not set. */
export const queueView = (queue: QueueView) => ({
  ...queue,
  concurrency: queue.concurrency ?? null,
  timeout: queue.timeout ?? null,
  memoryLimit: queue.memoryLimit ?? null,
  claimAhead: queue.claimAhead ?? null,
  resumeAt: queue.resumeAt ?? null,
})

/** What a visitor may see of the figures. With a rule of its own only the queues' settings: counts would tell of others' jobs. */
export async function overview(site: Site, visitor: Visitor) {
  const { queues: all, workers, finished, at } = await figures(site)
  const queues = all.filter((queue) => maySeeQueue(visitor, queue.name))
  const limited = visitor.rule !== undefined
  const narrow = limited || visitor.queues !== undefined
  return {
    at,
    states: limited ? null : { ...sumOf(queues), ...(narrow ? {} : finishedOf(finished)) },
    queues: queues.map((queue) => queueView(limited ? withoutCounts(queue) : queue)),
    workers: {
      alive: workers.filter((worker) => worker.alive).length,
      lost: workers.filter((worker) => !worker.alive).length,
      running: narrow ? null : workers.reduce((sum, worker) => sum + worker.running, 0),
      leader: workers.find((worker) => worker.leader && worker.alive)?.id ?? null,
    },
    problems: problemsOf(queues, workers.filter((worker) => worker.alive).length, limited),
  }
}

export const withoutCounts = (queue: QueueView): QueueView => ({
  ...queue,
  counts: {},
  oldestReadyMs: null,
  waiting: { value: 0, capped: true },
})

function sumOf(queues: readonly QueueView[]): Partial<Record<JobState, Counted>> {
  const entries = unfinishedStates.map((state) => {
    const parts = queues.map((queue) => queue.counts[state] ?? { value: 0, capped: false })
    return [
      state,
      { value: parts.reduce((sum, part) => sum + part.value, 0), capped: parts.some((part) => part.capped) },
    ]
  })
  return Object.fromEntries(entries) as Partial<Record<JobState, Counted>>
}

const finishedOf = (finished: Stats["finished"]): Partial<Record<JobState, Counted>> => {
  const none = { count: 0, exact: true }
  const { succeeded = none, failed = none, cancelled = none } = finished
  const told = ({ count, exact }: { count: number; exact: boolean }): Counted => ({ value: count, capped: !exact })
  return { succeeded: told(succeeded), failed: told(failed), cancelled: told(cancelled) }
}

/** What somebody should look at. */
function problemsOf(queues: readonly QueueView[], alive: number, limited: boolean) {
  const problems: { kind: string; queue?: string; text: string }[] = []
  if (alive === 0) problems.push({ kind: "no-workers", text: "No worker is alive." })
  for (const { name, waiting, oldestReadyMs, served, paused, resumeAt } of queues) {
    if (limited) break
    if (alive > 0 && !served && waiting.value > 0) {
      problems.push({ kind: "unserved", queue: name, text: `No live worker runs ${name}.` })
    } else if (paused && resumeAt === undefined && waiting.value > 0) {
      problems.push({ kind: "paused", queue: name, text: `${name} is paused, and jobs wait in it.` })
    } else if (!paused && (oldestReadyMs ?? 0) > 300_000) {
      problems.push({
        kind: "backlog",
        queue: name,
        text: `A job of ${name} has been ready for ${Math.round(oldestReadyMs! / 60_000)} min.`,
      })
    }
  }
  return problems
}
