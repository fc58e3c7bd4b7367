/**
 * How many jobs to hold beyond the free slots: as many as are measured to start within 50 ms, which is as many as finish
 * in that time. None while nothing finishes, so long jobs are never hoarded.
 */

const horizon = 50
const window = 4
const most = 4_000

export class ClaimAhead {
  readonly #fixed: number | undefined
  #finished = 0
  #since = performance.now()
  #target = 0

  /** @param fixed a number asked for by the queue; undefined: adaptive. */
  constructor(fixed: number | undefined) {
    this.#fixed = fixed
  }

  finished(): void {
    this.#finished += 1
  }

  /** Jobs to hold beyond the free slots, now. */
  target(now = performance.now()): number {
    if (this.#fixed !== undefined) return this.#fixed
    const elapsed = now - this.#since
    if (elapsed >= window) {
      const measured = (this.#finished / elapsed) * horizon
      // At most a doubling per look upwards, so that one lucky moment does not fill the house.
      this.#target = Math.floor(Math.min(measured, Math.max(2 * this.#target, 2 * this.#finished), most))
      this.#finished = 0
      this.#since = now
    }
    return this.#target
  }
}
