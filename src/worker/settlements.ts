import type { ErrorRecord } from "../model/errors.ts"
import type { Ended } from "../model/plugin.ts"
import type { CycleSummary, Settlement } from "../postgres/jobs.ts"
import type { Running } from "./running.ts"

/** An outcome that the database has not confirmed yet. */
export interface Unsettled {
  readonly attempt: Running
  settlement: Settlement
}

/**
 * Outcomes on their way to the database. They stay here until a reply confirms them, and are sent again as often as it
 * takes; settling twice is harmless.
 */
export class Settlements {
  #waiting: Unsettled[] = []
  #inFlight = 0

  /** Outcomes not confirmed yet. */
  get size(): number {
    return this.#waiting.length + this.#inFlight
  }

  get waiting(): number {
    return this.#waiting.length
  }

  add(one: Unsettled): void {
    this.#waiting.push(one)
  }

  take(most: number): Unsettled[] {
    const taken = this.#waiting.length <= most ? this.#waiting : this.#waiting.slice(0, most)
    this.#waiting = this.#waiting.length <= most ? [] : this.#waiting.slice(most)
    this.#inFlight += taken.length
    return taken
  }

  confirm(batch: readonly Unsettled[]): void {
    this.#inFlight -= batch.length
  }

  /** The reply did not come: they go first next time. */
  putBack(batch: readonly Unsettled[]): void {
    this.#inFlight -= batch.length
    this.#waiting = [...batch, ...this.#waiting]
  }
}

/** What is left of an outcome that the database refuses to store: the finish itself. */
export function stripped({ settlement }: Unsettled, reason: string): Settlement {
  const { id, token, state, charge, delayMs, blockedBy } = settlement
  const note = {
    name: "StorageError",
    code: "MILLRACE_BAD_JSON",
    attempt: 0,
    message: storable(`What this attempt left could not be stored: ${reason}`.slice(0, 1_000)),
  }
  return { id, token, state, charge, delayMs, blockedBy, error: JSON.stringify(note) }
}

const storable = (text: string): string => text.replaceAll(/[\0\p{Cs}]/gu, "\ufffd")

/** What hooks are told of a batch: stale ones never happened, and a cancel that was asked for has won. */
export function accepted(batch: readonly Unsettled[], summary: CycleSummary): Ended[] {
  const stale = staleOf(summary)
  const cancelled = new Set(summary.cancelled)
  return batch
    .filter((one) => !stale.has(one.settlement.id + one.settlement.token))
    .map(({ attempt, settlement }) => ({
      job: attempt,
      state: cancelled.has(settlement.id) ? "cancelled" : settlement.state,
      ...(settlement.error !== undefined && { error: JSON.parse(settlement.error) as ErrorRecord }),
      times: attempt.times,
    }))
}

/** The claims that were not valid any more, each as id and token in one. */
export const staleOf = ({ stale }: CycleSummary): Set<string> => new Set(stale?.map(([id, token]) => id + token))
