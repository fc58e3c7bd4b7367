import { promote } from "../postgres/jobs.ts"
import type { Home } from "./home.ts"

const batch = 500
/** Later than that, a poll looks first, ms. */
const longest = 60_000

/** Makes a queue's due jobs ready: at each poll, when somebody pushes one for later, and by a timer on the nearest. */
export class Promoter {
  readonly #home: Home
  readonly #queue: string
  readonly #promoted: () => void
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity
  #passing: Promise<void> | undefined
  #again = false
  #stopped = false

  /** @param promoted told when jobs became ready. */
  constructor(home: Home, queue: string, promoted: () => void) {
    this.#home = home
    this.#queue = queue
    this.#promoted = promoted
  }

  /** Looks now; asked while it looks, it looks once more. */
  look(): void {
    if (this.#stopped) return
    if (this.#passing) {
      this.#again = true
      return
    }
    this.#passing = this.#pass()
      .catch((error: unknown) => {
        this.#home.context.log.debug(`queue "${this.#queue}": due jobs could not be looked up`, {
          error: String(error),
        })
      })
      .finally(() => {
        this.#passing = undefined
        if (!this.#again) return
        this.#again = false
        this.look()
      })
  }

  async #pass(): Promise<void> {
    const { db, names, notices } = this.#home.context
    for (;;) {
      const { promoted, nextMs } = await promote(db, names, this.#queue, batch)
      if (promoted > 0) {
        notices.send({ kind: "ready", about: this.#queue })
        this.#promoted()
      }
      if (promoted < batch) return this.#wait(nextMs)
    }
  }

  #wait(nextMs: number | null): void {
    clearTimeout(this.#timer)
    this.#timerAt = Infinity
    if (nextMs !== null) this.within(nextMs)
  }

  /** A job is due in so many milliseconds: looks then, unless it will look sooner. */
  within(ms: number): void {
    const at = performance.now() + ms
    if (this.#stopped || at >= this.#timerAt || ms > longest) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity
        this.look()
      },
      Math.max(1, Math.ceil(ms)),
    )
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }
}
