import { backoffDelay } from "../lib/backoff.ts"
import { abortableSleep } from "../lib/signal.ts"
import type { LogLevel } from "../model/job-log.ts"
import { saveLogs } from "../postgres/logs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Home } from "./home.ts"
import { LogBook } from "./log-book.ts"
import type { Running } from "./running.ts"

/*
 * Brings what handlers write to the database: now and then while they run, all of a queue in one statement, and before an
 * outcome is sent, so that lines are never behind the end of their job. One statement is in flight at a time; what is
 * written meanwhile goes with the next.
 */

const every = 200
/** Attempts per statement. */
const together = 500
const patience = { initial: 50, factor: 2, max: 5_000, jitter: "full" } as const

export class LogKeeper {
  readonly #home: Home
  readonly #queue: string
  readonly #invalid: (attempt: Running) => void
  /** Attempts with lines that are not stored. */
  readonly #books = new Map<Running, LogBook>()
  /** Who waits for an attempt's lines to be stored. */
  readonly #ending = new Map<Running, () => void>()
  readonly #abandoned = new AbortController()
  #saving = false
  #timer: NodeJS.Timeout | undefined

  /** @param invalid told of claims that turn out to be somebody else's. */
  constructor(home: Home, queue: string, invalid: (attempt: Running) => void) {
    this.#home = home
    this.#queue = queue
    this.#invalid = invalid
  }

  keep(attempt: Running, level: LogLevel, message: string, fields: object | undefined): void {
    let book = this.#books.get(attempt)
    if (!book) this.#books.set(attempt, (book = new LogBook()))
    book.add(level, message, fields)
    if (this.#saving || this.#abandoned.signal.aborted) return
    this.#timer ??= setTimeout(() => this.#soon(), every)
  }

  /** Resolves when everything that the attempt wrote is stored; undefined when it is. Never rejects. */
  save(attempt: Running): Promise<void> | undefined {
    const book = this.#books.get(attempt)
    if (!book || this.#abandoned.signal.aborted) return undefined
    return new Promise((resolve) => {
      this.#ending.set(attempt, resolve)
      // In the next turn, so that attempts that end together are saved together.
      if (!this.#saving) setImmediate(() => this.#soon())
    })
  }

  /** The database cannot be reached: nobody is to wait any more. */
  abandon(): void {
    this.#abandoned.abort()
    clearTimeout(this.#timer)
    for (const ended of this.#ending.values()) ended()
  }

  #soon(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#saving || this.#abandoned.signal.aborted) return
    this.#saving = true
    void this.#run().finally(() => {
      this.#saving = false
      if (this.#ending.size > 0) this.#soon()
      else if (this.#books.size > 0) this.#timer ??= setTimeout(() => this.#soon(), every)
    })
  }

  /** Stores what waits now; those that wait for it come first. */
  async #run(): Promise<void> {
    const ends = (attempt: Running) => this.#ending.has(attempt)
    const order = [...this.#books].sort(([a], [b]) => Number(ends(b)) - Number(ends(a)))
    for (let from = 0; from < order.length; from += together) await this.#store(order.slice(from, from + together))
  }

  async #store(batch: readonly [Running, LogBook][]): Promise<void> {
    const valid = await this.#send(batch)
    for (const [attempt, book] of batch) {
      book.stored()
      if (valid && !valid.has(attempt.id) && !attempt.decided) this.#invalid(attempt)
      else this.#home.followed.tell(attempt.id)
      if (book.empty) this.#ended(attempt)
    }
  }

  #ended(attempt: Running): void {
    this.#books.delete(attempt)
    this.#ending.get(attempt)?.()
    this.#ending.delete(attempt)
  }

  /** Sends until the database has answered. Undefined: it refuses these lines, or was given up. */
  async #send(batch: readonly [Running, LogBook][]): Promise<Set<string> | undefined> {
    const { db, names, log } = this.#home.context
    for (let failures = 1; ; failures++) {
      const entries = batch.map(([{ id, token, attempt }, book]) => ({ id, token, attempt, chunks: book.take() }))
      try {
        return await saveLogs(db, names, this.#queue, entries)
      } catch (error) {
        const again = verdict(error) === "retry"
        log[again ? "debug" : "error"]("lines of jobs could not be stored", {
          jobs: entries.length,
          error: String(error),
        })
        if (!again || !(await abortableSleep(backoffDelay(patience, failures), this.#abandoned.signal)))
          return undefined
      }
    }
  }
}
