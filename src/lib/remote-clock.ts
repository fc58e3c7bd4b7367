import { monotonic } from "./clock.ts"

/*
 * Another machine's clock, read from here: its time was asked for, and lies somewhere between the sending and the answer,
 * so half the round trip bounds the error. Quick answers are believed before slow ones (a blocked event loop, a busy
 * server), unless the believed one has grown old: clocks drift.
 */

const oldAfter = 60_000

export class RemoteClock {
  #offset: number | undefined
  #error = Infinity
  #at = -Infinity

  /** Milliseconds to add to `monotonic()` for the other clock's time; undefined while nothing is known. */
  get offset(): number | undefined {
    return this.#offset
  }

  /** The most that the offset may be wrong by, ms, the drift since left aside. */
  get error(): number {
    return this.#error
  }

  /** An answer: the time that it told, ms, and when it was asked for and there, on the monotonic clock. */
  learn(told: number, sent: number, received = monotonic()): void {
    const error = (received - sent) / 2
    if (error > this.#error * 1.5 && received - this.#at < oldAfter) return
    this.#offset = told - (sent + error)
    this.#error = error
    this.#at = received
  }
}
