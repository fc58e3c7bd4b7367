// What tests of the worker's side need beside the fixture: the end of a job, and handlers that end in unusual ways.
import type { JobRecord, Millrace, Reference } from "millrace"

/** Waits until a job is finished and returns it. */
export async function ended<Result>(app: Millrace, job: Reference<Result>): Promise<JobRecord<unknown, Result>> {
  const [record] = await app.wait([job], { timeout: "20s" })
  return record as JobRecord<unknown, Result>
}

/** Waits until a job is in one of these states (or finished) and returns it. */
export async function reached(app: Millrace, job: Reference, ...states: JobRecord["state"][]): Promise<JobRecord> {
  const [record] = await app.wait([job], { states, timeout: "20s" })
  return record!
}

/** Throws anything at all: users do. */
export function raise(thrown: unknown): never {
  throw thrown // oxlint-disable-line typescript/only-throw-error -- the point of it
}

/** Rejects with the signal's reason once it fires: a handler that obeys. */
export function obeying(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fired = () => reject(signal.reason as Error)
    if (signal.aborted) fired()
    else signal.addEventListener("abort", fired)
  })
}

/** Resolves with the signal's reason once it fires. */
export function fired(signal: AbortSignal): Promise<Error & { code?: string }> {
  return obeying(signal).catch((reason: unknown) => reason as Error)
}

/** No wait between attempts. */
export const atOnce = { initial: 0 } as const

/** Numbers from 0 on. */
export const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
