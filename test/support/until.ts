import { setTimeout as pause } from "node:timers/promises"

/** Long enough for any machine; a condition that takes longer will never come true. */
export const patience = 30_000

/**
 * Asks again and again until the answer is truthy, and returns it. What the question throws counts as no; its last error
 * is the cause when the time is over.
 *
 * @param what says what is waited for, as a fact: "the job has succeeded".
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  within = patience,
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const deadline = performance.now() + within
  let seen: unknown
  for (;;) {
    const answer = await Promise.resolve()
      .then(ask)
      .catch((error: unknown) => void (seen = error))
    if (answer) return answer as Exclude<T, undefined | null | false | 0 | "">
    if (performance.now() > deadline) throw new Error(`not within ${within} ms: ${what}`, { cause: seen })
    await pause(20)
  }
}

/** The promise, or an error when it has not settled in time. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
