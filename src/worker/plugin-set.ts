import { milliseconds } from "../lib/duration.ts"
import { describe } from "../lib/error.ts"
import { didYouMean } from "../lib/nearest.ts"
import { matchPath } from "../lib/path.ts"
import { abortableSleep, Signal } from "../lib/signal.ts"
import { appContext } from "../client/app-context.ts"
import type { Context } from "../client/context.ts"
import type { Transaction } from "../model/database.ts"
import { failure } from "../model/errors.ts"
import type { JobApp } from "../model/job-app.ts"
import { noMeter, type Meter } from "../model/metrics.ts"
import {
  badPlugin,
  checkPlugins,
  notLeader,
  type Leader,
  type Plugin,
  type PluginContext,
  type PluginHealth,
} from "../model/plugin.ts"
import { Supervised, until, usualPace, type Pace } from "./supervisor.ts"

/** The plugins of one worker: which they are, in which order they start, and how they are. */

/** A plugin that tells who leads. */
export interface LeadershipPlugin extends Plugin {
  /** The view of one worker, made before the plugin starts. */
  leaderFor(worker: string): Leader
}

/** A plugin that keeps what others measure. */
export interface MetricsPlugin extends Plugin {
  /** What one worker measures with, made before any plugin starts. */
  meterFor(worker: string): Meter
}

const nobody: Leader = {
  leads: false,
  term: undefined,
  hold: () => Promise.reject(notLeader("This worker has no leadership plugin.")),
  onChange: () => () => {},
}

export interface PluginHome {
  readonly context: Context
  readonly client: JobApp
  readonly worker: PluginContext["worker"]
  readonly pace?: Pace
}

/**
 * The plugins of a worker: those of the app, replaced and added to by the worker's, and built-in ones under names that
 * nobody has taken. In the order of their needs.
 *
 * @throws MILLRACE_BAD_PLUGIN, MILLRACE_BAD_NAME.
 */
export function arrange(app: readonly Plugin[], own: readonly Plugin[], builtIn: readonly Plugin[]): readonly Plugin[] {
  checkPlugins(own)
  const tabled = own.find((plugin) => plugin.migrations)
  if (tabled)
    throw badPlugin(`plugin "${tabled.name}" has tables, so it belongs to the app: new Millrace({ plugins: […] }).`)
  const chosen = new Map(builtIn.map((plugin) => [plugin.name, plugin]))
  for (const plugin of [...app, ...own]) chosen.set(plugin.name, plugin)
  return inOrder(chosen)
}

function inOrder(all: ReadonlyMap<string, Plugin>): Plugin[] {
  const ordered = new Set<Plugin>()
  const visit = (plugin: Plugin, path: readonly string[]) => {
    if (ordered.has(plugin)) return
    if (path.includes(plugin.name))
      throw badPlugin(`plugins need each other in a circle: ${[...path, plugin.name].join(" → ")}.`)
    for (const need of needsOf(plugin)) {
      const needed = all.get(need)
      if (!needed) {
        const hint = didYouMean(need, all.keys())
        throw badPlugin(`plugin "${plugin.name}" needs "${need}", which is not there.${hint} Add it to the plugins.`)
      }
      visit(needed, [...path, plugin.name])
    }
    ordered.add(plugin)
  }
  for (const plugin of all.values()) visit(plugin, [])
  return [...ordered]
}

/** A leader's plugin needs somebody who says who leads. */
const needsOf = ({ needs = [], scope }: Plugin): readonly string[] =>
  scope === "leader" && !needs.includes("leadership") ? [...needs, "leadership"] : needs

export class PluginSet {
  readonly plugins: readonly Plugin[]
  readonly leader: Leader
  readonly #home: PluginHome
  readonly #meter: Meter
  readonly #supervised: readonly Supervised[]

  constructor(plugins: readonly Plugin[], home: PluginHome) {
    this.plugins = plugins
    this.#home = home
    const leadership = plugins.find((plugin) => plugin.name === "leadership") as LeadershipPlugin | undefined
    this.leader = leadership?.leaderFor?.(home.worker.id) ?? nobody
    this.#meter =
      (plugins.find((plugin) => plugin.name === "metrics") as MetricsPlugin | undefined)?.meterFor?.(home.worker.id) ??
      noMeter
    const { hub, log } = home.context
    this.#supervised = plugins.map(
      (plugin) =>
        new Supervised(plugin, {
          hub,
          log,
          leader: this.leader,
          worker: home.worker.id,
          pace: home.pace ?? usualPace,
          context: (of, signal) => this.#contextOf(of, signal),
        }),
    )
  }

  get health(): readonly PluginHealth[] {
    return this.#supervised.map((one) => one.health)
  }

  /** @throws MILLRACE_UNKNOWN_PLUGIN. */
  find(name: string): Plugin {
    return this.#find("worker", name)
  }

  /** The plugin's route that a request names, below /plugins/NAME. */
  route(request: Request): Promise<Response> | undefined {
    const { pathname } = new URL(request.url)
    for (const { plugin, ctx } of this.#supervised) {
      for (const { method, path, handle } of plugin.routes ?? []) {
        if (method !== request.method) continue
        const params = matchPath(`/plugins/${plugin.name}${path}`, pathname)
        if (params) return Promise.resolve(handle(request, ctx, params))
      }
    }
    return undefined
  }

  start(): void {
    for (const one of this.#supervised) one.start()
  }

  /** Stops them in reverse order; none is waited for longer than `ms`. */
  async stop(ms: number): Promise<void> {
    for (const one of this.#supervised.toReversed()) await one.stop(ms)
  }

  /** The last word of each; none is waited for longer than `ms`. */
  async drained(ms: number): Promise<void> {
    const late = new AbortController()
    const said = this.#supervised.map(async ({ plugin, ctx }) => {
      try {
        await plugin.drained?.(ctx)
      } catch (error) {
        ctx.log.error(`plugin "${plugin.name}": drained threw`, { error: describe(error) })
      }
    })
    await Promise.race([Promise.all(said), abortableSleep(ms, late.signal)])
    late.abort()
  }

  #contextOf(plugin: Plugin, signal: () => AbortSignal): PluginContext {
    const { context, client, worker } = this.#home
    const woken = new Signal()
    const { leader } = this
    return Object.freeze({
      ...appContext(context, client),
      name: plugin.name,
      leader,
      worker,
      metrics: this.#meter,
      plugins: this.plugins,
      plugin: <P extends Plugin>(name: string) => this.#find(plugin.name, name) as P,
      sleep: async (duration: number | string) => {
        await woken.wait(milliseconds(duration, `plugin "${plugin.name}": sleep`), signal())
        return !signal().aborted
      },
      wakeUp: () => woken.notify(),
      waitForLeader: () => until(leader, () => leader.leads, signal()),
      asLeader: <T>(run: (tx: Transaction) => Promise<T>) =>
        context.db.transaction(async (tx) => {
          await leader.hold(tx)
          return run(tx)
        }),
    })
  }

  #find(asking: string, name: string): Plugin {
    const found = this.plugins.find((plugin) => plugin.name === name)
    if (found) return found
    const hint = didYouMean(
      name,
      this.plugins.map((plugin) => plugin.name),
    )
    throw failure("MILLRACE_UNKNOWN_PLUGIN", `plugin "${asking}" asks for "${name}", which is not there.${hint}`)
  }
}
