import { type Backoff, backoffDelay } from "./backoff.ts"
import { monotonic } from "./clock.ts"
import { MillraceError } from "./error.ts"
import { abortableSleep } from "./signal.ts"

export interface Supervised {
  /** Names the loop in errors. */
  readonly name: string
  /** The work itself; returns only after `signal` aborts. Returning earlier counts as a failure. */
  readonly run: (signal: AbortSignal) => Promise<void>
  /**
   * Told of every failure: how many came in a row, and the milliseconds until the next start, which are Infinity when
   * the loop is being stopped. What it throws is ignored.
   */
  readonly onError: (error: unknown, consecutive: number, retryInMs: number) => void
  readonly backoff: Backoff
  /** Ends the loop. */
  readonly signal: AbortSignal
  /** Milliseconds; a run that lasts this long ends the row of failures. Default: `backoff.max`. */
  readonly healthyAfter?: number
}

/**
 * Keeps `run` running until `signal` aborts: starts it again after every failure, waiting longer the more failures
 * come in a row. Resolves once stopped and `run` has returned; never rejects.
 */
export async function supervise(loop: Supervised): Promise<void> {
  const { backoff, signal, healthyAfter = backoff.max } = loop
  let consecutive = 0
  while (!signal.aborted) {
    const started = monotonic()
    const failure = await failureOf(loop)
    if (failure === undefined) return
    consecutive = monotonic() - started >= healthyAfter ? 1 : consecutive + 1
    const retryInMs = signal.aborted ? Number.POSITIVE_INFINITY : backoffDelay(backoff, consecutive)
    report(loop, failure.error, consecutive, retryInMs)
    if (!signal.aborted) await abortableSleep(retryInMs, signal)
  }
}

async function failureOf({ name, run, signal }: Supervised): Promise<{ error: unknown } | undefined> {
  try {
    await run(signal)
  } catch (error) {
    return signal.aborted && isAbort(error, signal) ? undefined : { error }
  }
  if (signal.aborted) return undefined
  // A run that returns at once would otherwise spin without pause.
  return { error: new MillraceError("MILLRACE_LOOP_ENDED", `${name} returned before it was told to stop.`) }
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === "AbortError")
}

function report(loop: Supervised, error: unknown, consecutive: number, retryInMs: number): void {
  try {
    loop.onError(error, consecutive, retryInMs)
  } catch {
    // A broken reporter must not end the work it reports on, and there is nobody left to tell.
  }
}
