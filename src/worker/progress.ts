import { saveProgress } from "../postgres/jobs.ts"
import type { Held } from "./held.ts"
import type { Home } from "./home.ts"
import type { Running } from "./running.ts"

const every = 200

/** Stores the newest progress of each job, now and then. A claim that turns out to be invalid is told. */
export class ProgressKeeper {
  readonly #home: Home
  readonly #queue: string
  readonly #held: Held
  readonly #invalid: (attempt: Running) => void
  readonly #newest = new Map<string, { token: string; value: string }>()
  #timer: NodeJS.Timeout | undefined

  constructor(home: Home, queue: string, held: Held, invalid: (attempt: Running) => void) {
    this.#home = home
    this.#queue = queue
    this.#held = held
    this.#invalid = invalid
  }

  /** @param value JSON text. */
  keep(attempt: Running, value: string): void {
    this.#newest.set(attempt.id, { token: attempt.token, value })
    if (this.#timer) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#save()
    }, every)
  }

  async #save(): Promise<void> {
    const { db, names, log } = this.#home.context
    // What has ended meanwhile carried its progress with it.
    const running = [...this.#newest].filter(([id, { token }]) => {
      const attempt = this.#held.get(id)
      return attempt?.token === token && !attempt.decided
    })
    const entries = running.map(([id, one]) => ({ id, ...one }))
    this.#newest.clear()
    if (entries.length === 0) return
    try {
      const valid = await saveProgress(db, names, this.#queue, entries)
      for (const { id, token } of entries) {
        const attempt = this.#held.get(id)
        if (valid.has(id)) this.#home.followed.tell(id)
        if (!valid.has(id) && attempt?.token === token && !attempt.decided) this.#invalid(attempt)
      }
    } catch (error) {
      log.debug("progress could not be stored", { error: String(error) })
    }
  }
}
