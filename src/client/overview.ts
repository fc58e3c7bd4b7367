import type { JobState } from "../model/state.ts"
import { countedUpTo, countJobs, estimateJobs, listWorkers } from "../postgres/overview.ts"
import { listQueues, undeclaredQueues } from "../postgres/queues.ts"
import type { Context } from "./context.ts"

/** A worker, as its row tells. */
export interface WorkerRecord {
  /** The name it was given, or a UUID. Unique among live workers. */
  readonly id: string
  /** A new one at every start and after every lost lease. */
  readonly incarnation: string
  readonly hostname: string
  readonly pid: number
  readonly tags: readonly string[]
  /** Queues that run on it. */
  readonly queues: readonly string[]
  /** Names of jobs that it has handlers for. */
  readonly handlers: readonly string[]
  readonly startedAt: Date
  /** When it was last heard of. */
  readonly seenAt: Date
  /** When its lease is over, unless it is renewed before. */
  readonly expiresAt: Date
  /** Whether its lease is still running. */
  readonly alive: boolean
  /** Whether it leads. */
  readonly leader: boolean
  /** Jobs that it holds, those claimed ahead included. */
  readonly running: number
}

/** A number of jobs: counted, or, of more than 10,000, estimated from PostgreSQL's statistics. */
export interface Count {
  readonly count: number
  readonly exact: boolean
}

export interface Stats {
  /** Unfinished jobs by queue and state; states without jobs are left out. */
  readonly queues: Readonly<Record<string, Readonly<Partial<Record<JobState, Count>>>>>
  /** How long the job that has been ready for longest has been so, ms, by queue; queues without ready jobs are left out. */
  readonly oldestReadyMs: Readonly<Record<string, number>>
  /** Finished jobs by state, over all queues. */
  readonly finished: Readonly<Partial<Record<JobState, Count>>>
}

/** See `Millrace.workers`. */
export async function workers({ db, names }: Context): Promise<WorkerRecord[]> {
  const rows = await listWorkers(db, names)
  return rows.map(({ started_at, seen_at, expires_at, ...row }) => ({
    ...row,
    startedAt: started_at,
    seenAt: seen_at,
    expiresAt: expires_at,
  }))
}

/** See `Millrace.stats`. */
export async function stats({ db, names }: Context): Promise<Stats> {
  const declared = (await listQueues(db, names)).map((queue) => queue.name)
  const all = [...declared, ...(await undeclaredQueues(db, names))]
  const queues: Record<string, Partial<Record<JobState, Count>>> = {}
  for (const name of all) queues[name] = {}
  const oldestReadyMs: Record<string, number> = {}
  const finished: Partial<Record<JobState, Count>> = {}
  for (const { queue, state, count, exact, oldest } of await countJobs(db, names, all)) {
    const told: Count = exact ? { count, exact } : await estimate(queue, state)
    if (queue !== null && oldest !== null) oldestReadyMs[queue] = oldest * 1_000
    if (queue === null) finished[state] = told
    else (queues[queue] ??= {})[state] = told
  }
  return { queues, oldestReadyMs, finished }

  async function estimate(queue: string | null, state: JobState): Promise<Count> {
    const count = await estimateJobs(db, names, queue, state)
    return { count: Math.max(count, countedUpTo), exact: false }
  }
}
