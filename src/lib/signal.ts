export interface WaitOptions {
  /** Let the process exit although a wait is under way; default false. */
  readonly unref?: boolean
}

// Node turns a longer timer into one of 1 ms, so longer waits are made of several timers.
const LONGEST_TIMER = 2_147_483_647

/**
 * A wake-up call between parts of one process. It latches: a call that finds nobody waiting is remembered, once, and
 * the next wait returns at once, so nothing is missed between a check and the wait that follows it.
 */
export class Signal {
  readonly #waiters = new Set<() => void>()
  readonly #options: WaitOptions
  #raised = false

  constructor(options: WaitOptions = {}) {
    this.#options = options
  }

  /** Wakes everyone who waits now or, when nobody does, the next one to wait. */
  notify(): void {
    if (this.#waiters.size === 0) this.#raised = true
    for (const wake of [...this.#waiters]) wake()
  }

  /**
   * Waits for a notification: true when notified, false after `ms` milliseconds (default: no limit) or on abort.
   * Always yields to the event loop when it times out, even with `ms` of 0.
   */
  async wait(ms: number = Number.POSITIVE_INFINITY, abort?: AbortSignal): Promise<boolean> {
    if (abort?.aborted) return false
    if (this.#raised) {
      this.#raised = false
      return true
    }
    return race(ms, abort, this.#options, (finish) => {
      const wake = () => finish("woken")
      this.#waiters.add(wake)
      return () => this.#waiters.delete(wake)
    }).then((outcome) => outcome === "woken")
  }
}

/** Sleeps `ms` milliseconds: true when slept in full, false when `signal` aborts first. Never rejects. */
export async function abortableSleep(ms: number, signal?: AbortSignal, options: WaitOptions = {}): Promise<boolean> {
  if (signal?.aborted) return false
  return race(ms, signal, options).then((outcome) => outcome === "timeout")
}

type Outcome = "woken" | "timeout" | "aborted"

/** The first of a timer, an abort and whatever `arm` sets up; the other two are taken down. */
function race(
  ms: number,
  abort: AbortSignal | undefined,
  options: WaitOptions,
  arm: (finish: (outcome: Outcome) => void) => () => void = () => () => {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const onAbort = () => finish("aborted")
    const finish = (outcome: Outcome) => {
      stopTimer()
      disarm()
      abort?.removeEventListener("abort", onAbort)
      resolve(outcome)
    }
    const stopTimer = startTimer(ms, options, () => finish("timeout"))
    const disarm = arm(finish)
    abort?.addEventListener("abort", onAbort, { once: true })
  })
}

function startTimer(ms: number, options: WaitOptions, done: () => void): () => void {
  if (ms === Number.POSITIVE_INFINITY) return () => {}
  let timer: NodeJS.Timeout
  const start = (left: number) => {
    const span = Math.min(left, LONGEST_TIMER)
    timer = setTimeout(() => (left > span ? start(left - span) : done()), span)
    if (options.unref) timer.unref()
  }
  start(ms)
  return () => clearTimeout(timer)
}
