import { backoffDelay } from "../lib/backoff.ts"
import { monotonic } from "../lib/clock.ts"
import { describe } from "../lib/error.ts"
import { abortableSleep } from "../lib/signal.ts"
import type { EventHub } from "../client/hub.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Logger } from "../model/log.ts"
import type { Leader, Plugin, PluginContext, PluginHealth } from "../model/plugin.ts"

/*
 * One plugin on one worker: started, watched, started again when it throws, alone and with growing pauses. A leader's
 * plugin starts when the worker gains its term and is stopped when the term ends.
 *
 *   starting ─► (waiting for leadership) ─► running ─► done
 *                    ▲                        │ throws          stop
 *                    └───── restarting ◄──────┤            ┌────────► stopped
 *                                degraded ◄───┘ 5 in a row
 */

export interface Pace {
  /** Pauses between restarts, ms. */
  readonly initial: number
  readonly max: number
  /** So long without a crash, ms, and the count begins anew. */
  readonly calm: number
}

export const usualPace: Pace = { initial: 500, max: 60_000, calm: 60_000 }

const degradedFrom = 5

/** What a plugin's context is made with. */
export type MakeContext = (plugin: Plugin, signal: () => AbortSignal) => PluginContext

export class Supervised {
  readonly plugin: Plugin
  readonly ctx: PluginContext
  readonly #hub: EventHub
  readonly #log: Logger
  readonly #leader: Leader
  readonly #worker: string
  readonly #pace: Pace
  readonly #stop = new AbortController()
  #life: AbortSignal
  #loop: Promise<void> | undefined
  #state: PluginHealth["state"] = "starting"
  #crashes = 0
  #error: string | undefined

  constructor(
    plugin: Plugin,
    parts: { hub: EventHub; log: Logger; leader: Leader; worker: string; pace: Pace; context: MakeContext },
  ) {
    this.plugin = plugin
    this.#hub = parts.hub
    this.#log = parts.log
    this.#leader = parts.leader
    this.#worker = parts.worker
    this.#pace = parts.pace
    this.#life = this.#stop.signal
    this.ctx = parts.context(plugin, () => this.#life)
  }

  get health(): PluginHealth {
    const { name, scope = "worker" } = this.plugin
    return { name, scope, state: this.#state, crashes: this.#crashes, error: this.#error, problems: this.#problems() }
  }

  #problems(): readonly string[] {
    try {
      return this.plugin.problems?.() ?? []
    } catch (error) {
      return [`it cannot say what is wrong: ${describe(error)}`]
    }
  }

  start(): void {
    this.#loop ??= this.#live()
  }

  /** Stops it, and waits for it; not for longer than `ms`. */
  async stop(ms: number): Promise<void> {
    this.#stop.abort()
    const late = new AbortController()
    await Promise.race([this.#loop, abortableSleep(ms, late.signal)])
    late.abort()
    this.#state = "stopped"
  }

  async #live(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      if (!(await this.#wanted())) return
      const started = monotonic()
      const term = this.#term()
      this.#life = term.signal
      const error = await this.#once(term.signal)
      term.end()
      if (this.#stop.signal.aborted) return
      if (error === undefined) continue // its term is over, or it had nothing more to do
      if (monotonic() - started > this.#pace.calm) this.#crashes = 0
      if (verdict(error) === "retry") this.#cutOff(error)
      else this.#crashed(error)
      await abortableSleep(this.#pause(), this.#stop.signal)
    }
  }

  /** Waits until it is to run at all. */
  async #wanted(): Promise<boolean> {
    if (this.plugin.scope !== "leader") return !this.#stop.signal.aborted
    if (!this.#leader.leads) this.#state = "waiting"
    return until(this.#leader, () => this.#leader.leads, this.#stop.signal)
  }

  /** A signal that fires when the plugin is to stop, or its term is over. */
  #term(): { signal: AbortSignal; end(): void } {
    const over = new AbortController()
    const { term } = this.#leader
    const check = () => {
      if (this.plugin.scope === "leader" && (!this.#leader.leads || this.#leader.term !== term)) over.abort()
    }
    const remove = this.#leader.onChange(check)
    check()
    return { signal: AbortSignal.any([this.#stop.signal, over.signal]), end: remove }
  }

  /** One life, from its start to its stop. Returns what it threw. */
  async #once(signal: AbortSignal): Promise<unknown> {
    const { plugin, ctx } = this
    let error: unknown
    try {
      this.#state = "starting"
      await plugin.onStart?.(ctx)
      this.#state = "running"
      this.#hub.emit("plugin.started", { plugin: plugin.name, worker: this.#worker })
      await plugin.run?.(ctx, signal)
      if (!signal.aborted) {
        if (plugin.run) this.#state = "done"
        await aborted(signal)
      }
    } catch (thrown) {
      error = signal.aborted ? undefined : (thrown ?? new Error("undefined was thrown"))
    }
    try {
      await plugin.onStop?.(ctx)
    } catch (thrown) {
      this.#log.error(`plugin "${plugin.name}": onStop threw`, { error: describe(thrown) })
    }
    this.#hub.emit("plugin.stopped", { plugin: plugin.name, worker: this.#worker })
    return error
  }

  /** The database could not be reached: that is no fault of the plugin, and it goes on as soon as it can. */
  #cutOff(thrown: unknown): void {
    this.#state = "restarting"
    this.#error = describe(thrown)
    this.#log.warn(`plugin "${this.plugin.name}": the database could not be reached; it is started again`, {
      error: this.#error,
    })
  }

  #crashed(thrown: unknown): void {
    this.#crashes += 1
    this.#error = describe(thrown)
    const degraded = this.#crashes >= degradedFrom
    this.#state = degraded ? "degraded" : "restarting"
    const body = { plugin: this.plugin.name, worker: this.#worker, error: this.#error, crashes: this.#crashes }
    this.#hub.emit("plugin.crashed", body)
    if (this.#crashes === degradedFrom) this.#hub.emit("plugin.degraded", body)
    const text = degraded ? "keeps failing; it is tried again at the slowest pace" : "failed; it is started again"
    this.#log.error(`plugin "${this.plugin.name}" ${text}`, { error: this.#error, crashes: this.#crashes })
  }

  #pause(): number {
    const { initial, max } = this.#pace
    if (this.#state === "restarting" && this.#crashes === 0) return initial * (1 + Math.random())
    if (this.#crashes >= degradedFrom) return max * (0.9 + Math.random() * 0.2)
    return initial / 2 + backoffDelay({ initial, factor: 2, max, jitter: "full" }, this.#crashes)
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }))

/** True when the condition holds, false when the signal fires first. */
export async function until(leader: Leader, condition: () => boolean, signal: AbortSignal): Promise<boolean> {
  if (condition()) return !signal.aborted
  if (signal.aborted) return false
  return new Promise((resolve) => {
    const finish = (result: boolean) => {
      remove()
      signal.removeEventListener("abort", onAbort)
      resolve(result)
    }
    const onAbort = () => finish(false)
    const remove = leader.onChange(() => condition() && finish(true))
    signal.addEventListener("abort", onAbort, { once: true })
  })
}
