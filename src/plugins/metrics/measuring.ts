import { monotonic } from "../../lib/clock.ts"
import type { PluginContext } from "../../model/plugin.ts"
import { Recorder } from "./recorder.ts"
import { Registry } from "./registry.ts"
import { lookAtQueues, Sampler } from "./sampler.ts"
import { Writer } from "./writer.ts"

/** Everything that one worker measures. It outlives a restart of the plugin, so that nothing is counted twice or lost. */
export class Measuring {
  readonly registry: Registry
  readonly recorder: Recorder
  readonly #sampler: Sampler
  readonly #writer: Writer
  readonly #every: { readonly queuesEvery: number; readonly databaseEvery: number }
  #queuesAt = -Infinity
  #databaseAt = -Infinity
  #ctx: PluginContext | undefined
  readonly #told = new Set<string>()
  #remove: (() => void) | undefined

  constructor(worker: string, every: { readonly queuesEvery: number; readonly databaseEvery: number }) {
    this.#every = every
    this.registry = new Registry((metric) => this.#overflowed(metric))
    this.recorder = new Recorder(this.registry)
    this.#sampler = new Sampler(this.registry)
    this.#writer = new Writer(worker, () => this.registry.take())
  }

  #overflowed(metric: string): void {
    if (this.#told.has(metric)) return
    this.#told.add(metric)
    const text = `metrics: there are too many series, so more of "${metric}" go into one; labels must not be ids`
    this.#ctx?.log.warn(text)
  }

  listen(ctx: PluginContext): void {
    this.#ctx = ctx
    const own = ctx.worker.id
    this.#remove = ctx.hub.on("job.recovered", ({ body }) => body.by === own && this.recorder.recovered(body.queue))
  }

  deafen(): void {
    this.#remove?.()
  }

  /** Looks at this worker, and where it leads, at the queues and the database when it is time. */
  async look(ctx: PluginContext): Promise<void> {
    this.#sampler.worker(ctx)
    if (!ctx.leader.leads) return this.#sampler.resign()
    const now = monotonic()
    if (now - this.#queuesAt >= this.#every.queuesEvery) {
      this.#queuesAt = now
      this.#sampler.queues(await lookAtQueues(ctx))
    }
    if (now - this.#databaseAt >= this.#every.databaseEvery) {
      this.#databaseAt = now
      await this.#sampler.database(ctx)
    }
  }

  async write(ctx: PluginContext): Promise<void> {
    this.#writer.cut()
    await this.#writer.send(ctx.db, ctx.names, ctx.log)
  }
}
