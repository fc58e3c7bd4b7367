import { setTimeout as sleep } from "node:timers/promises"

/** How a promise ends: with its value, or with the code (or else the message) of its error. Never rejects. */
export const ending = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => value,
    (error: Error & { code?: string }) => error.code ?? error.message,
  )

/** Polls a condition until it holds (is neither undefined nor false), and returns what it gave. */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const found = await condition()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
    await sleep(5)
  }
}

export const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)
