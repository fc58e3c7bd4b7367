import type { Running } from "./running.ts"

/** Every claim of a queue that is not settled for certain, by job id; and who waits for there to be none. */
export class Held {
  readonly #attempts = new Map<string, Running>()
  readonly #isBusy: () => boolean
  #waiting: (() => void)[] = []

  /** @param isBusy whether more is under way than the claims show. */
  constructor(isBusy: () => boolean) {
    this.#isBusy = isBusy
  }

  /** Takes a claim in. An older claim of the same job is returned: it cannot be valid any more. */
  add(attempt: Running): Running | undefined {
    const older = this.#attempts.get(attempt.id)
    this.#attempts.set(attempt.id, attempt)
    return older
  }

  remove(attempt: Running): void {
    if (this.#attempts.get(attempt.id) === attempt) this.#attempts.delete(attempt.id)
  }

  get(id: string): Running | undefined {
    return this.#attempts.get(id)
  }

  /** Whether exactly this claim is held. */
  has(id: string, token: string): boolean {
    return this.#attempts.get(id)?.token === token
  }

  all(): Running[] {
    return [...this.#attempts.values()]
  }

  /** Resolves once nothing is held and nothing is under way. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.check()
    })
  }

  /** Something may have ended. */
  check(): void {
    if (this.#waiting.length === 0 || this.#attempts.size > 0 || this.#isBusy()) return
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
