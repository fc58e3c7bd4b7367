import { noFloors, type ClaimedRow, type Floors } from "../postgres/jobs.ts"

/**
 * Where the next scan of a queue's ready index starts.
 *
 * While somebody holds a transaction open, index entries of claimed jobs cannot be removed, and a scan from the start
 * walks over all of them, each time. Every claimed job is behind the last one claimed of its rank, so a scan may start
 * there: one floor per rank, and ranks without one are scanned whole, so a floor never hides a job of another rank.
 *
 * What a floor can hide is a job of its own rank that committed late (its `ready_at` is its transaction's start), or that
 * was passed over while somebody else held its row for a moment. What is younger than a tenth of a second is looked at in any
 * case (`cycle_1`); full scans find the rest. They come as often as costs them at most a twentieth of the time, and at least each 10 s: where
 * full scans are cheap, nearly every scan is one.
 */

const share = 20
const atLeastEvery = 10_000
const mostRanks = 16

export class ScanFloors {
  readonly #floors = new Map<number, { ready: number; id: string }>()
  #fullAt = -Infinity
  #fullCost = 0

  /** Floors for the next scan; none: a full scan is due. */
  next(now = performance.now()): Floors {
    if (this.#floors.size === 0 || this.untilFull(now) <= 0) return noFloors
    const ranks = [...this.#floors.keys()].sort((a, b) => a - b)
    return {
      ranks,
      ready: ranks.map((rank) => this.#floors.get(rank)!.ready),
      ids: ranks.map((rank) => this.#floors.get(rank)!.id),
    }
  }

  /** Milliseconds until a full scan is affordable again. */
  untilFull(now = performance.now()): number {
    return this.#fullAt + Math.min(share * this.#fullCost, atLeastEvery) - now
  }

  /** Learns from a reply, whose rows are in claim order. */
  learn(rows: readonly ClaimedRow[], used: Floors, scanMs: number, now = performance.now()): void {
    if (used.ranks.length === 0) {
      this.#fullAt = now
      this.#fullCost = scanMs
    }
    // Jobs that crashed twice come from an index of their own, and say nothing of this one.
    const ordinary = rows.filter((row) => row.crashes < 2)
    ordinary.forEach(({ rank, ready, id }, index) => {
      if (ordinary[index + 1]?.rank === rank) return // only the last one of each rank counts
      const known = this.#floors.get(rank)
      if (!known || ready > known.ready || (ready === known.ready && id > known.id))
        this.#floors.set(rank, { ready, id })
    })
    if (this.#floors.size > mostRanks) this.#floors.clear()
  }
}
