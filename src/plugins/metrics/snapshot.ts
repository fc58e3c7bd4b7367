import type { AppContext } from "../../model/plugin.ts"
import { databaseTime, readPoints, type PointRow } from "../../postgres/metrics.ts"
import { listQueues } from "../../postgres/queues.ts"
import { merge, percentile } from "./histogram.ts"
import { lookAtQueues, type QueueDepth } from "./sampler.ts"

/** How everything is now: what a live view shows. */

export interface QueueNow extends QueueDepth {
  /** Undeclared queues are no less full. */
  readonly declared: boolean
  readonly paused: boolean
  /** Jobs that may run at a time, on all workers together. */
  readonly slots: number
  /** Of the last minute or two: attempts ended per second. */
  readonly perSecond: number
  /** Share of them that failed or will be tried again; null: none ended. */
  readonly failureRatio: number | null
  /** 95 % waited, and ran, no longer, ms; null: none ended. */
  readonly waitP95: number | null
  readonly runP95: number | null
}

export interface Snapshot {
  /** The database's time. */
  readonly at: Date
  /** Workers that measured within the last two minutes. */
  readonly workers: number
  readonly perSecond: number
  readonly queues: readonly QueueNow[]
}

/** Attempts and their times come as they are written: some seconds late. */
export async function takeSnapshot(app: AppContext): Promise<Snapshot> {
  const { db, names } = app
  const now = await databaseTime(db)
  const from = Math.floor(now / 60) * 60 - 60
  const read = (prefix: string) =>
    readPoints(db, names, { prefix, worker: null, labels: {}, step: 60, from, to: now + 60, most: 100_000 })
  const [depths, declared, jobs, workers] = await Promise.all([
    lookAtQueues(app),
    listQueues(db, names),
    read("jobs"),
    read("worker"),
  ])
  const seconds = now - from
  const queues = depths.map((depth): QueueNow => {
    const own = declared.find((queue) => queue.name === depth.queue)
    const mine = (row: PointRow) => row.labels["queue"] === depth.queue
    const settled = { declared: own !== undefined, paused: own?.paused ?? false }
    return { ...depth, ...settled, slots: slotsOf(workers.filter(mine)), ...flowOf(jobs.filter(mine), seconds) }
  })
  const perSecond = queues.reduce((sum, queue) => sum + queue.perSecond, 0)
  const up = new Set(workers.map(({ worker }) => worker)).size
  return { at: new Date(now * 1_000), workers: up, perSecond, queues }
}

/** The last that each worker told. */
function slotsOf(rows: readonly PointRow[]): number {
  const newest = new Map<string, number>()
  for (const row of rows) if (row.name === "worker.slots") newest.set(row.worker, row.last ?? 0)
  return [...newest.values()].reduce((sum, slots) => sum + slots, 0)
}

function flowOf(rows: readonly PointRow[], seconds: number) {
  const ended = rows.filter((row) => row.name === "jobs.ended" && row.labels["outcome"] !== "released")
  const all = total(ended)
  const failed = total(ended.filter(({ labels }) => labels["outcome"] === "failed" || labels["outcome"] === "retrying"))
  const p95 = (name: string) => {
    const buckets = rows
      .filter((row) => row.name === name)
      .reduce<readonly number[]>((sum, row) => merge(sum, row.buckets ?? []), [])
    return percentile(buckets, 0.95) ?? null
  }
  const failureRatio = all === 0 ? null : failed / all
  return { perSecond: all / seconds, failureRatio, waitP95: p95("jobs.wait"), runP95: p95("jobs.run") }
}

const total = (rows: readonly PointRow[]): number => rows.reduce((sum, row) => sum + row.total, 0)
