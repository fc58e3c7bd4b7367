import type { Database } from "../../model/database.ts"
import type { AppContext, PluginContext, PluginNames } from "../../model/plugin.ts"
import type { JobState } from "../../model/state.ts"
import { databaseHealth, type DatabaseHealth } from "../../postgres/database-health.ts"
import { readDepth } from "../../postgres/metrics.ts"
import { countedUpTo, estimateJobs } from "../../postgres/overview.ts"
import { listQueues, undeclaredQueues } from "../../postgres/queues.ts"
import type { BuiltIn } from "./catalogue.ts"
import type { Registry } from "./registry.ts"
import type { GaugeSeries } from "./series.ts"

/** What nobody counts as it happens, looked at now and then: this worker's slots, and by the leader the queues and the database. */

/** A number of jobs; not exact: an estimate, over 10,000. */
export interface Depth {
  readonly count: number
  readonly exact: boolean
}

export interface QueueDepth {
  readonly queue: string
  readonly depth: Readonly<Record<"pending" | "scheduled" | "retrying" | "running" | "blocked", Depth>>
  /** Seconds that the oldest ready job has waited; null: none is ready. */
  readonly oldest: number | null
}

type Reach = Pick<AppContext, "db" | "names">

/** How many jobs each queue holds, and for how long the oldest has waited. */
export async function lookAtQueues({ db, names }: Reach): Promise<QueueDepth[]> {
  const declared = (await listQueues(db, names)).map((queue) => queue.name)
  const all = [...new Set([...declared, ...(await undeclaredQueues(db, names))])].sort()
  const found = new Map<string, { readonly depth: Record<string, Depth>; oldest: number | null }>()
  for (const queue of all) found.set(queue, { depth: {}, oldest: null })
  for (const { queue, state, count, exact, oldest } of await readDepth(db, names, all, countedUpTo)) {
    const entry = found.get(queue)!
    entry.depth[state] = exact ? { count, exact } : await estimate(db, names, queue, state, count)
    if (state === "pending") entry.oldest = oldest
  }
  return Array.from(found, ([queue, entry]) => ({ queue, ...entry }) as QueueDepth)
}

/** What the planner's statistics say, but no less than was seen. */
async function estimate(
  db: Database,
  names: PluginNames,
  queue: string,
  state: JobState,
  seen: number,
): Promise<Depth> {
  return { count: Math.max(seen, await estimateJobs(db, names, queue, state)), exact: false }
}

/** Sets gauges, and forgets those that were not set again: what is gone must not be told for ever. */
class Gauges {
  readonly #registry: Registry
  readonly #shared: boolean
  #before = new Set<GaugeSeries>()
  #now = new Set<GaugeSeries>()

  constructor(registry: Registry, shared: boolean) {
    this.#registry = registry
    this.#shared = shared
  }

  set(name: GaugeName, value: number, labels: Readonly<Record<string, string>> = {}, estimate = false): void {
    const gauge = this.#registry.builtIn(name, labels, this.#shared)
    gauge.set(value, estimate)
    this.#now.add(gauge)
  }

  done(): void {
    for (const gauge of this.#before) if (!this.#now.has(gauge)) gauge.forget()
    this.#before = this.#now
    this.#now = new Set()
  }
}

type GaugeName = Extract<BuiltIn, `worker.${string}` | `queue.${string}` | `db.${string}`>

export class Sampler {
  readonly #own: Gauges
  readonly #queues: Gauges
  readonly #database: Gauges

  constructor(registry: Registry) {
    this.#own = new Gauges(registry, false)
    this.#queues = new Gauges(registry, true)
    this.#database = new Gauges(registry, true)
  }

  worker({ worker }: Pick<PluginContext, "worker">): void {
    const own = this.#own
    own.set("worker.up", 1)
    for (const { queue, running, slots, waiting } of worker.load()) {
      own.set("worker.running", running, { queue })
      own.set("worker.slots", slots, { queue })
      own.set("worker.waiting", waiting, { queue })
    }
    const { loop, clockDifference } = worker.health()
    own.set("worker.loop_blocked", loop.blocked)
    if (clockDifference !== undefined) own.set("worker.clock_difference", clockDifference)
    own.done()
  }

  queues(found: readonly QueueDepth[]): void {
    for (const { queue, depth, oldest } of found) {
      for (const [state, { count, exact }] of Object.entries(depth))
        this.#queues.set("queue.depth", count, { queue, state }, !exact)
      this.#queues.set("queue.oldest", oldest ?? 0, { queue })
    }
    this.#queues.done()
  }

  async database({ db, names }: Reach): Promise<void> {
    this.databaseFound(await databaseHealth(db, names))
  }

  databaseFound({ tables, oldestTransaction, notificationQueue, connections }: DatabaseHealth): void {
    const gauges = this.#database
    for (const { table, bytes, indexBytes, rows, deadRows } of tables) {
      gauges.set("db.table_bytes", bytes, { table })
      gauges.set("db.index_bytes", indexBytes, { table })
      gauges.set("db.rows", rows, { table })
      gauges.set("db.dead_rows", deadRows, { table })
    }
    gauges.set("db.oldest_transaction", oldestTransaction?.age ?? 0)
    gauges.set("db.notification_queue", notificationQueue)
    for (const [state, count] of Object.entries(connections.states)) gauges.set("db.connections", count, { state })
    gauges.set("db.connections_all", connections.all)
    gauges.set("db.connections_most", connections.most)
    gauges.done()
  }

  /** This worker does not lead any more: others tell of these now. */
  resign(): void {
    this.#queues.done()
    this.#database.done()
  }
}
