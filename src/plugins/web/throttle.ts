/*
 * Failed logins, per name and overall, in this process. After a few, each further one must wait twice as long as the one
 * before, up to a minute; a right password during the wait is not looked at. The waits are short, so that nobody can be
 * locked out for long by somebody else's guesses.
 */

interface Failures {
  count: number
  /** Monotonic, ms. */
  until: number
}

const free = 5
const longest = 60_000
const mostNames = 10_000

export class Throttle {
  readonly #now: () => number
  readonly #names = new Map<string, Failures>()
  readonly #all: Failures = { count: 0, until: 0 }

  constructor(now: () => number) {
    this.#now = now
  }

  /** How long to wait before the next try, ms; 0: none. */
  wait(name: string): number {
    const now = this.#now()
    const own = this.#names.get(name)
    return Math.max(0, (own?.until ?? 0) - now, this.#all.until - now)
  }

  failed(name: string): void {
    const own = this.#names.get(name) ?? { count: 0, until: 0 }
    this.#names.delete(name) // so that the map is in the order of the last failure
    this.#names.set(name, own)
    if (this.#names.size > mostNames) this.#names.delete(this.#names.keys().next().value!)
    this.#count(own, free, longest)
    // Guessing through many names is slowed as well, gently: real people mistype, too.
    this.#count(this.#all, 100, 2_000)
  }

  succeeded(name: string): void {
    this.#names.delete(name)
    this.#all.count = 0
  }

  #count(failures: Failures, allowed: number, most: number): void {
    const now = this.#now()
    // An hour without a failure forgives all.
    if (now > failures.until + 3_600_000) failures.count = 0
    failures.count += 1
    const over = failures.count - allowed
    failures.until = over < 0 ? now : now + Math.min(most, 1_000 * 2 ** Math.min(over, 16))
  }
}
