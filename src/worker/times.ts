import { monotonic } from "../lib/clock.ts"
import type { RemoteClock } from "../lib/remote-clock.ts"
import type { JobTimes } from "../model/plugin.ts"

/** When an attempt started and ended; three numbers, worked out only when somebody asks. */
export class Times implements JobTimes {
  readonly #clock: RemoteClock
  /** By the database's clock, ms. */
  readonly #ready: number
  #started: number | undefined
  #ended: number | undefined

  constructor(clock: RemoteClock, ready: number) {
    this.#clock = clock
    this.#ready = ready
  }

  start(): void {
    this.#started = monotonic()
  }

  end(): void {
    this.#ended ??= monotonic()
  }

  get wait(): number | undefined {
    const { offset } = this.#clock
    if (this.#started === undefined || offset === undefined) return undefined
    return Math.max(0, this.#started + offset - this.#ready)
  }

  get run(): number | undefined {
    return this.#started === undefined ? undefined : (this.#ended ?? monotonic()) - this.#started
  }

  get ended(): number | undefined {
    return this.#ended
  }
}
