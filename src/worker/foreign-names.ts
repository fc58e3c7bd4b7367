import { backoffDelay } from "../lib/backoff.ts"
import { abortableSleep } from "../lib/signal.ts"
import { namesHandledElsewhere } from "../postgres/jobs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Home } from "./home.ts"
import type { Running } from "./running.ts"
import type { Settler } from "./settler.ts"

const retries = { initial: 50, factor: 2, max: 5_000, jitter: "full" } as const

/**
 * Job names that this worker has no handler for. While another live worker has one, they are left to it: claims here
 * skip them. Else the job is parked as `blocked`, until a worker that has a handler announces itself.
 */
export class ForeignNames {
  readonly #home: Home
  readonly #queue: string
  readonly #settler: Settler
  readonly #elsewhere = new Set<string>()
  readonly #warned = new Set<string>()

  constructor(home: Home, queue: string, settler: Settler) {
    this.#home = home
    this.#queue = queue
    this.#settler = settler
  }

  /** Names for claims to skip. */
  get skipped(): readonly string[] | null {
    return this.#elsewhere.size > 0 ? [...this.#elsewhere] : null
  }

  /** A claimed job without a handler here. */
  async handle(attempt: Running): Promise<void> {
    const { name } = attempt
    const elsewhere = this.#elsewhere.has(name) || (await this.#ask([name])).has(name)
    if (attempt.decided) return
    if (!elsewhere) return this.#park(attempt)
    this.#elsewhere.add(name)
    this.#settler.release(attempt)
    this.#home.context.notices.send({ kind: "ready", about: this.#queue })
  }

  #park(attempt: Running): void {
    const { id, name } = attempt
    if (!this.#warned.has(name)) {
      const text = `no worker has a handler for "${name}": its jobs are parked until one is announced`
      this.#home.context.log.warn(text, { queue: this.#queue, job: id })
    }
    this.#warned.add(name)
    this.#settler.settle(attempt, { state: "blocked", charge: 0 })
  }

  /** Asks again who has handlers; returns whether some names are nobody's any more. */
  async review(): Promise<boolean> {
    if (this.#elsewhere.size === 0) return false
    const still = await this.#ask([...this.#elsewhere])
    const gone = [...this.#elsewhere].filter((name) => !still.has(name))
    for (const name of gone) this.#elsewhere.delete(name)
    return gone.length > 0
  }

  async #ask(wanted: readonly string[]): Promise<Set<string>> {
    const { db, names } = this.#home.context
    for (let failures = 1; ; failures++) {
      try {
        return await namesHandledElsewhere(db, names, this.#home.identity().incarnation, wanted)
      } catch (error) {
        if (verdict(error) !== "retry") throw error
        await abortableSleep(backoffDelay(retries, failures))
      }
    }
  }
}
