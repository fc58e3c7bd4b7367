import { randomUUID } from "node:crypto"
import { monotonic } from "../../lib/clock.ts"
import { describe } from "../../lib/error.ts"
import type { Connection } from "../../model/database.ts"
import type { Logger } from "../../model/log.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { writeMetrics, type WrittenPoint } from "../../postgres/metrics.ts"
import { verdict } from "../../postgres/sqlstate.ts"

/*
 * From memory to the database: one statement per interval. A batch is cut, numbered, and sent until its answer comes;
 * the database takes each number once. While it cannot be reached batches wait, up to a bound; what is gathered beyond
 * stays in the series, so that counts are late then, and never lost.
 */

const mostWaiting = 360
/** What the database refuses so often is dropped: it may be cleaned up under a series once, not for ever. */
const mostRefusals = 5

interface Batch {
  readonly seq: number
  readonly cut: number
  readonly points: readonly WrittenPoint[]
}

export class Writer {
  readonly #id = randomUUID()
  readonly #worker: string
  readonly #take: () => WrittenPoint[]
  #waiting: Batch[] = []
  #seq = 0
  #refusals = 0
  #sending: Promise<void> | undefined

  constructor(worker: string, take: () => WrittenPoint[]) {
    this.#worker = worker
    this.#take = take
  }

  /** Batches that the database has not confirmed. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Puts what was gathered since the last time into a batch. */
  cut(): void {
    if (this.#waiting.length >= mostWaiting) return
    const points = this.#take()
    if (points.length > 0) this.#waiting.push({ seq: ++this.#seq, cut: monotonic(), points })
  }

  /**
   * Sends the batches that wait, oldest first. While the database cannot be reached they stay, and nothing is said.
   *
   * @throws what the database says, when waiting does not mend it.
   */
  send(db: Connection, names: PluginNames, log: Logger): Promise<void> {
    return (this.#sending ??= this.#send(db, names, log).finally(() => (this.#sending = undefined)))
  }

  async #send(db: Connection, names: PluginNames, log: Logger): Promise<void> {
    for (let batch = this.#waiting[0]; batch; batch = this.#waiting[0]) {
      const { seq, points } = batch
      const age = monotonic() - batch.cut
      try {
        await writeMetrics(db, names, { writer: this.#id, seq, worker: this.#worker, age, points })
      } catch (error) {
        const why = verdict(error)
        if (why === "fatal") throw error
        log.debug("metrics could not be written yet", { error: describe(error), waiting: this.#waiting.length })
        if (why === "retry" || ++this.#refusals < mostRefusals) return
        log.error("metrics of one interval were refused and are dropped", { error: describe(error) })
      }
      this.#refusals = 0
      this.#waiting.shift()
    }
  }
}
