/** How long to wait between attempts. */
export interface Backoff {
  /** Milliseconds after the first failure. */
  readonly initial: number
  /** What each further failure multiplies the wait by. */
  readonly factor: number
  /** Milliseconds; no wait is longer. */
  readonly max: number
  /**
   * `"full"` draws the wait evenly from zero to the exponential value, so that clients that failed together do not
   * return together; `"none"` waits the exponential value itself.
   */
  readonly jitter: "full" | "none"
}

/**
 * The wait in whole milliseconds after `failures` failures in a row; zero before the first.
 *
 * Full jitter as in Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), which finds that it needs the least
 * work in total of the jittered variants. `random` returns a number in [0, 1).
 */
export function backoffDelay(backoff: Backoff, failures: number, random: () => number = Math.random): number {
  if (!(failures >= 1) || backoff.initial === 0) return 0 // the second also avoids 0 × Infinity
  // The power may reach Infinity, which the minimum brings back to `max`; its exponent may not, as 1 ** Infinity is NaN.
  const exponent = Math.min(failures - 1, Number.MAX_SAFE_INTEGER)
  const ceiling = Math.min(backoff.max, backoff.initial * backoff.factor ** exponent)
  return Math.round(backoff.jitter === "full" ? random() * ceiling : ceiling)
}
