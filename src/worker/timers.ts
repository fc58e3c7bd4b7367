/** Background work of a worker on timers: each spread by ±10 %, never overlapping itself, all ended together. */
export class Timers {
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #pending = new Set<string>()
  #stopped = false

  /** Runs again and again, `ms` after the last run has ended. `run` must not reject. */
  every(ms: number, run: () => Promise<void>): void {
    this.#after(ms * (0.9 + Math.random() * 0.2), async () => {
      await run()
      this.every(ms, run)
    })
  }

  /** Runs once, after `ms`; asked for again before it runs, still once. `run` must not reject. */
  once(name: string, ms: number, run: () => Promise<void>): void {
    if (this.#pending.has(name)) return
    this.#pending.add(name)
    this.#after(ms, async () => {
      this.#pending.delete(name)
      await run()
    })
  }

  #after(ms: number, run: () => Promise<void>): void {
    if (this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void run()
    }, ms)
    this.#timers.add(timer)
  }

  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
