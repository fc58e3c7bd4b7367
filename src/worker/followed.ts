import { monotonic } from "../lib/clock.ts"
import type { Notices } from "../client/notices.ts"

/** A follower says so again more often than that. */
const remembered = 15_000

/**
 * Jobs that somebody follows, here or in another process. Followers tell every worker by notification, so that only what
 * is followed costs one when there is news of it.
 */
export class Followed {
  readonly #notices: Notices
  readonly #until = new Map<string, number>()

  constructor(notices: Notices) {
    this.#notices = notices
  }

  heard(id: string): void {
    const now = monotonic()
    for (const [one, until] of this.#until) if (until < now) this.#until.delete(one)
    this.#until.set(id, now + remembered)
  }

  /** There is news of this job. */
  tell(id: string): void {
    if (this.#until.size === 0 || !((this.#until.get(id) ?? 0) > monotonic())) return
    this.#notices.send({ kind: "news", about: id })
  }
}
