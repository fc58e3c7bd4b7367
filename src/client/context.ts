import type { Database } from "../model/database.ts"
import type { AppRecipe } from "../model/executor.ts"
import type { Logger } from "../model/log.ts"
import type { Plugin } from "../model/plugin.ts"
import type { QueueOptions } from "../model/queue.ts"
import type { Names } from "../postgres/sql.ts"
import type { EventHub } from "./hub.ts"
import type { Notices } from "./notices.ts"
import type { Pusher } from "./pusher.ts"
import type { Waiter } from "./waiter.ts"

/** What the parts of one `Millrace` share. */
export interface Context {
  readonly db: Database
  readonly names: Names
  readonly log: Logger
  readonly notices: Notices
  readonly pusher: Pusher
  readonly waiter: Waiter
  readonly hub: EventHub
  /** Of the app: migrated with it, and run by every worker. */
  readonly plugins: readonly Plugin[]
  readonly queues: readonly QueueOptions[]
  /** How another thread or process makes an app like this one; undefined with a pool of the caller's. */
  readonly recipe: AppRecipe | undefined
  /** Bytes of JSON text. */
  readonly maxPayload: number
}

/** Where an app keeps its context, for the worker. Not part of the public API. */
export const context = Symbol.for("millrace.context")
