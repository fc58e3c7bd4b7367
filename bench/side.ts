// The contract that millrace and its peers meet, so that one harness drives them all in the same way.

export interface Side {
  /** Name and exact version, and that of the driver below it, for the report. */
  readonly versions: Record<string, string>
  readonly sql: Checks
  /** Installs the schema and whatever a queue needs, in an empty database. */
  migrate(url: string): Promise<void>
  producer(url: string): Promise<Producer>
  worker(url: string, options: WorkerOptions, handle: Handle): Promise<Running>
}

/** Questions to the database itself: nothing is taken from a library's own word. */
export interface Checks {
  /** One row with one boolean `found`: is any job not finished? */
  unfinished: string
  /** One row with one number `count`: jobs stored and not finished. */
  waiting: string
  /** The same for jobs that succeeded; null where a success leaves no row and a failure does. */
  succeeded: string | null
}

export interface Producer {
  push(payload: Payload): Promise<unknown>
  /** One call for all of the payloads: 1,000 at most. */
  pushMany(payloads: Payload[]): Promise<unknown>
  close(): Promise<void>
}

export interface WorkerOptions {
  /** Unset: the library's best setting for throughput. */
  concurrency?: number | undefined
  /** Jobs come one by one rather than in a backlog; some peers have a better setting for that. */
  trickle?: boolean | undefined
  /** Ours: with a saving hook. */
  saving?: boolean | undefined
  /** Ours: with everything that watches switched on, or off. Unset: as by default. */
  observed?: Observed | undefined
}

export type Observed = "off" | "on" | "every"

export interface Payload {
  i: number
  /** When the push was called, on the clock of `now()`. */
  at?: number
}

export type Handle = (payload: Payload) => void | Promise<void>

export interface Running {
  stop(): Promise<void>
}

const loaders = {
  ours: () => import("./sides/ours.ts"),
  "graphile-worker": () => import("./sides/graphile-worker.ts"),
  "pg-boss": () => import("./sides/pg-boss.ts"),
}

export type SideName = keyof typeof loaders
export type PeerName = Exclude<SideName, "ours">

export const peerNames: readonly PeerName[] = ["graphile-worker", "pg-boss"]

export async function loadSide(name: SideName): Promise<Side> {
  const { load } = await loaders[name]()
  return load()
}
