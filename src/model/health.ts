import type { PluginHealth } from "./plugin-health.ts"

export type { PluginHealth } from "./plugin-health.ts"

export type WorkerState = "new" | "starting" | "running" | "stopping" | "stopped"

/** How a worker is. */
export interface WorkerHealth {
  /** It runs, and no plugin keeps failing. */
  readonly healthy: boolean
  /** It can be given work: nothing stands in `reasons`. */
  readonly ready: boolean
  /** Why it is not ready, in words. */
  readonly reasons: readonly string[]
  readonly state: WorkerState
  readonly worker: string
  readonly leads: boolean
  /** Jobs that run now. */
  readonly running: number
  readonly queues: readonly string[]
  /** Whether notifications arrive; `missing`: everything works by polling. */
  readonly notifications: "arriving" | "missing" | "off"
  /** The session that listens for notifications. */
  readonly listener: "listening" | "lost" | "off"
  /** The lease that keeps this worker's claims its own. */
  readonly heartbeat: {
    /** Whether it holds, as far as this worker knows. */
    readonly alive: boolean
    /** Milliseconds since it was last made or renewed; undefined before the first time. */
    readonly age: number | undefined
  }
  readonly database: {
    /** Whether it answered when it was last asked. */
    readonly reachable: boolean
    /** Milliseconds since it last answered; undefined before the first time. */
    readonly age: number | undefined
    /** Milliseconds that the last answer took. */
    readonly roundTrip: number | undefined
    /** The server's, as `18.1`. */
    readonly version: string | undefined
    /** Of the tables, and the one that this release needs. */
    readonly schema: number | undefined
    readonly neededSchema: number
    /** Whether a pooler stands in between; undefined: cannot be told. */
    readonly pooler: boolean | undefined
    readonly error: string | undefined
  }
  /** The event loop. */
  readonly loop: {
    /** The longest that it was blocked within the last minute, ms. */
    readonly blocked: number
  }
  /** This machine's clock minus the database's, ms; undefined before the first answer. Nothing depends on it: only logs do. */
  readonly clockDifference: number | undefined
  readonly plugins: readonly PluginHealth[]
}

/** One queue on one worker. */
export interface QueueLoad {
  readonly queue: string
  /** Jobs that run now. */
  readonly running: number
  /** Jobs that may run at a time. */
  readonly slots: number
  /** Claimed jobs that wait for a slot. */
  readonly waiting: number
}
