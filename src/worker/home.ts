import type { Context } from "../client/context.ts"
import type { RemoteClock } from "../lib/remote-clock.ts"
import type { Handler } from "../model/definition.ts"
import type { JobApp } from "../model/job-app.ts"
import type { Followed } from "./followed.ts"
import type { Hooks } from "./hooks.ts"
import type { JobEvents } from "./job-events.ts"

/** One incarnation of a worker, as statements name it. */
export interface Identity {
  readonly incarnation: string
  readonly id: string
}

/** What the parts that serve a queue need to know of their worker, and may tell it. */
export interface Home {
  readonly context: Context
  /** As handlers see it. */
  readonly app: JobApp
  readonly hooks: Hooks
  readonly events: JobEvents
  readonly followed: Followed
  /** The database's. */
  readonly clock: RemoteClock
  /** How long a handler may go on after its signal fired, ms. */
  readonly grace: number
  identity(): Identity
  handlerOf(name: string): Handler | undefined
  /** A reply said that this incarnation has lost its lease. */
  leaseLost(incarnation: string): void
  /** A reply said that the queue's row is another one than known. */
  queueChanged(): void
  /** Makes what the database said was missing. */
  repair(error: unknown): Promise<void>
  /** A reply was lost: claims may have been made that nobody knows of. */
  reconcileSoon(): void
}
