import { quote } from "../lib/quote.ts"
import type { Database, Transaction } from "./database.ts"
import type { Handler } from "./definition.ts"
import { failure, type ErrorRecord } from "./errors.ts"
import type { QueueLoad, WorkerHealth } from "./health.ts"
import type { Hub } from "./hub.ts"
import type { JobApp } from "./job-app.ts"
import type { Logger } from "./log.ts"
import type { Meter } from "./metrics.ts"
import { checkName } from "./name.ts"
import type { Report } from "./outcome.ts"
import type { RunningJob } from "./running-job.ts"
import type { JobState } from "./state.ts"

export type { PluginHealth } from "./plugin-health.ts"

/** The end of an attempt, as hooks see it. */
export interface Ended {
  readonly job: RunningJob
  /** The state that is about to be, or was, written. A cancel that somebody asked for meanwhile may still turn it to `cancelled`. */
  readonly state: JobState
  /** What the attempt failed with, as it is stored; undefined where nothing is stored. */
  readonly error?: ErrorRecord | undefined
  readonly times: JobTimes
}

/** A call of `push` or `pushMany`. */
export interface PushCall {
  readonly name: string
  readonly queue: string
  /** It may push any number of jobs. */
  readonly many: boolean
}

/** How long an attempt took, in milliseconds. Undefined: it never started. */
export interface JobTimes {
  /** From when the job was ready (by the database's clock) to the start of its handler. */
  readonly wait: number | undefined
  /** From the start of its handler to its end; until now, when its transaction was committed before its end. */
  readonly run: number | undefined
  /** When its handler ended, as `ctx.clock.monotonic()` tells it: in `saved`, since when the database has not known. */
  readonly ended: number | undefined
}

/** One call that asked the database for jobs, answered. */
export interface Claim {
  readonly worker: string
  readonly queue: string
  /** How many were asked for. */
  readonly asked: number
  /** What came. */
  readonly jobs: readonly RunningJob[]
  /** Round trip, ms: with the settlements that travelled along. */
  readonly took: number
}

/** A job about to be pushed. What a hook adds to `meta` is stored with it. */
export interface PushedJob {
  readonly name: string
  readonly queue: string
  readonly payload: unknown
  readonly meta: Record<string, unknown>
}

/** Quoted names of an installation's tables, for SQL. */
export interface PluginNames {
  /** The schema's plain name. */
  readonly plain: string
  /** Quoted. */
  readonly schema: string
  readonly channel: string
  of(name: string): string
}

/** Whether this worker leads, as the leadership plugin tells it. */
export interface Leader {
  /** True only while its term certainly lasts. */
  readonly leads: boolean
  /** Names the term; undefined when it does not lead. */
  readonly term: string | undefined
  /** Throws MILLRACE_NOT_LEADER when the term is over; else nobody takes over before this transaction has ended. */
  hold(tx: Transaction): Promise<void>
  /** Told of every change; returns its own remover. */
  onChange(changed: () => void): () => void
}

/** The app that a plugin belongs to: what its functions work with where no worker runs. */
export interface AppContext {
  readonly db: Database
  readonly names: PluginNames
  /** The quoted name of a table: `ctx.table("breakdown")`. */
  table(name: string): string
  /** The app: push jobs, pause queues. */
  readonly client: JobApp
  readonly hub: Hub
  readonly log: Logger
  /** Of this installation, frozen. */
  readonly config: { readonly schema: string; readonly notifications: boolean; readonly maxPayload: number }
  /** Monotonic time, ms: for durations on this machine, never for decisions between machines. */
  readonly clock: { monotonic(): number }
  /** Wakes the workers of a queue: jobs are ready. */
  wakeQueue(queue: string): void
  /** Those of the app; on a worker, all of the worker's. */
  readonly plugins: readonly Plugin[]
}

/** What a plugin gets to work with, on one worker. */
export interface PluginContext extends AppContext {
  /** The plugin's name on this worker. */
  readonly name: string
  readonly leader: Leader
  readonly worker: {
    readonly id: string
    readonly tags: readonly string[]
    readonly queues: readonly string[]
    /** What runs now, queue by queue. */
    load(): readonly QueueLoad[]
    health(): WorkerHealth
  }
  /** Counters, gauges and histograms of one's own; does nothing without the metrics plugin. */
  readonly metrics: Meter
  /** A plugin that this one needs. @throws MILLRACE_UNKNOWN_PLUGIN for one that is not there. */
  plugin<P extends Plugin = Plugin>(name: string): P
  /** True after the time, or when `wakeUp` was called; false when the plugin is to stop. Durations as `"5m"` or milliseconds. */
  sleep(duration: number | string): Promise<boolean>
  /** Ends a `sleep` of this plugin, now or as soon as it begins. */
  wakeUp(): void
  /** Resolves when this worker leads (true), or when the plugin is to stop (false). */
  waitForLeader(): Promise<boolean>
  /**
   * A transaction that happens only while this worker leads: nobody takes over before it has ended. What must be done once
   * in the cluster belongs in one; looking at `leader.leads` alone is not enough, since a process may be frozen in between.
   *
   * @throws MILLRACE_NOT_LEADER; everything is rolled back then.
   */
  asLeader<T>(run: (tx: Transaction) => Promise<T>): Promise<T>
}

/** One numbered step of a plugin's tables. Statements run in one transaction, in order. */
export interface PluginMigration {
  readonly version: number
  up(names: PluginNames): readonly string[]
  down(names: PluginNames): readonly string[]
}

/** A path that the web plugin serves. */
export interface PluginRoute {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Below the plugin's own: `/breakdown`, `/breakdown/:queue`. */
  readonly path: string
  /** What a visitor must be allowed to do. */
  readonly permission: string
  handle(request: Request, ctx: PluginContext, params: Readonly<Record<string, string>>): Promise<Response> | Response
}

/**
 * A supervised addition to a worker, or to every worker of an app: background work, hooks around jobs, tables, routes.
 * Everything but the name is optional, and a worker without hooks pays nothing for them. A plugin that throws is started
 * again, alone; it never takes the worker, a queue or another plugin down.
 */
export interface Plugin {
  /** Unique on a worker. The name of a built-in replaces it. */
  readonly name: string
  /** Names of plugins that must be there, and are started before. */
  readonly needs?: readonly string[]
  /** `leader`: runs only where the worker leads. Default `worker`: everywhere. */
  readonly scope?: "worker" | "leader"
  /** When the app is made, before any worker is: what its own functions work with. Only for plugins of the app. */
  attach?(app: AppContext): void
  /** Before `run`, at each start. */
  onStart?(ctx: PluginContext): Promise<void> | void
  /** After `run`, at each stop, also after a crash. */
  onStop?(ctx: PluginContext): Promise<void> | void
  /** Its background work, until the signal fires. Returning before that is no failure: it has nothing more to do. */
  run?(ctx: PluginContext, signal: AbortSignal): Promise<void>
  /** Before a job is stored; may add to its meta. Only for plugins of the app. */
  pushing?(job: PushedJob): void
  /**
   * Wraps a call of `push` or `pushMany` on the app; `next()` does it, once, and returns the ids. Only for plugins of the app,
   * and not for what a handler pushes with its success (`job.push`).
   */
  aroundPush?(call: PushCall, next: () => Promise<readonly string[]>): Promise<readonly string[]>
  /** Before a job starts, on the worker: another job (the same claim, another payload) or nothing. */
  starting?(job: RunningJob & { readonly payload: unknown }): { readonly payload: unknown } | void
  /** Wraps each run: `next()` runs the rest and returns its report. */
  around?(job: RunningJob, next: () => Promise<Report>): Promise<Report>
  /** Sees how a run went, and may say otherwise before the outcome is decided. */
  finished?(job: RunningJob, report: Report): Report | void
  /** Takes part in the transaction that settles a job. Settlements it selects travel on a lane of their own. */
  readonly saving?: {
    select(ended: Ended): boolean
    run(batch: readonly Ended[], tx: Transaction): Promise<void>
  }
  /** After the outcome is committed. */
  saved?(batch: readonly Ended[], worker: string): void
  /** After each call that asked for jobs. Must be quick: it is on the way of every job. */
  claimed?(claim: Claim): void
  /** When the worker stops, after its last outcome was saved: the last word. */
  drained?(ctx: PluginContext): Promise<void>
  /** Its tables, made by `app.migrate()`. Only for plugins of the app. */
  readonly migrations?: readonly PluginMigration[]
  /** Names of its tables. */
  readonly tables?: readonly string[]
  /** Removes what it does not need any more; called by the pruner. Returns how many rows went. */
  cleanup?(ctx: PluginContext): Promise<number | void>
  readonly routes?: readonly PluginRoute[]
  /** Of jobs that the plugin itself pushes: every worker with the plugin runs them. */
  readonly handlers?: readonly Handler[]
  /** What is wrong without being its own failure, for health: one sentence each. */
  problems?(): readonly string[]
}

/**
 * Checks the shape of each, and that no two have one name.
 *
 * @throws MILLRACE_BAD_PLUGIN, MILLRACE_BAD_NAME.
 */
export function checkPlugins(plugins: readonly Plugin[]): void {
  const seen = new Set<string>()
  for (const plugin of plugins) {
    checkPlugin(plugin)
    if (seen.has(plugin.name)) throw duplicate(plugin.name)
    seen.add(plugin.name)
  }
}

/** @throws MILLRACE_BAD_PLUGIN. */
function checkPlugin(plugin: Plugin): void {
  if (typeof plugin !== "object" || plugin === null || typeof plugin.name !== "string") {
    throw badPlugin(
      `${quote(plugin)} is not a plugin: a plugin is an object with a name, made by its factory, such as pruner().`,
    )
  }
  checkName("plugin.name", plugin.name)
  const { name, scope, needs } = plugin
  if (scope !== undefined && scope !== "worker" && scope !== "leader") {
    throw badPlugin(`plugin "${name}": scope is "worker" or "leader", not ${quote(scope)}.`)
  }
  if (needs !== undefined && !Array.isArray(needs))
    throw badPlugin(`plugin "${name}": needs is a list of names, not ${quote(needs)}.`)
  for (const hook of [
    "attach",
    "onStart",
    "onStop",
    "run",
    "pushing",
    "aroundPush",
    "starting",
    "around",
    "finished",
    "saved",
    "claimed",
    "drained",
    "cleanup",
    "problems",
  ] as const) {
    if (plugin[hook] !== undefined && typeof plugin[hook] !== "function") {
      throw badPlugin(`plugin "${name}": ${hook} must be a function, not ${quote(plugin[hook])}.`)
    }
  }
}

export const badPlugin = (text: string) => failure("MILLRACE_BAD_PLUGIN", text)

const duplicate = (name: string) =>
  badPlugin(`two plugins are called "${name}"; give one of them another name, as in pruner({ name: "${name}-2" }).`)

export const notLeader = (text: string) => failure("MILLRACE_NOT_LEADER", text)
