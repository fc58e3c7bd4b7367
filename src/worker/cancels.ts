import type { Context } from "../client/context.ts"
import { cancelRequests } from "../postgres/jobs.ts"
import type { QueueRunner } from "./queue-runner.ts"

/**
 * Cancels that notices tell of. A notice carries an id and nothing else, so for a job that runs the request is read, those
 * of one moment together: it has the reason, and tells whether it is still about the claim that is held here.
 */
export class Cancels {
  readonly #context: Context
  readonly #runners: () => readonly QueueRunner[]
  #heard = new Set<string>()
  #reading = false

  constructor(context: Context, runners: () => readonly QueueRunner[]) {
    this.#context = context
    this.#runners = runners
  }

  heard(id: string): void {
    const running = this.#runners().filter((runner) => runner.heardCancel(id))
    if (running.length === 0) return
    this.#heard.add(id)
    if (this.#reading) return
    this.#reading = true
    setImmediate(() => void this.#read())
  }

  async #read(): Promise<void> {
    while (this.#heard.size > 0) {
      const ids = [...this.#heard]
      this.#heard.clear()
      for (const { id, reason } of await this.#requests(ids))
        for (const runner of this.#runners()) runner.cancel(id, reason ?? undefined)
    }
    this.#reading = false
  }

  /** Without the database, a cancel is one all the same: only its reason is not known. */
  async #requests(ids: readonly string[]): Promise<readonly { id: string; reason: string | null }[]> {
    const { db, names, log } = this.#context
    try {
      return await cancelRequests(db, names, ids)
    } catch (error) {
      log.debug("the reasons of cancels could not be read", { error: String(error) })
      return ids.map((id) => ({ id, reason: null }))
    }
  }
}
