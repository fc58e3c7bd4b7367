import { encodeJson } from "../../lib/json.ts"
import type { Database, Transaction } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { verdict } from "../../postgres/sqlstate.ts"
import { flowTooLarge } from "./problems.ts"
import {
  leaseLost,
  lookUp,
  persist,
  readNews,
  store,
  type Arrival,
  type Begun,
  type Claim,
  type Step,
  type Write,
} from "./store.ts"

/*
 * What an execution knows of what is stored, and the way there. Writes gather while one is under way. Steps that have
 * ended are handed out one by one in the order of `ord`, which is taken before the write: a later one waits for an
 * earlier one that is still being stored, so that a replay, which goes by `ord` alone, sees the same order.
 */

export interface LedgerLimits {
  readonly maxSteps: number
  /** Of JSON text. */
  readonly maxBytes: number
}

export interface LedgerEvents {
  /** Something has changed. */
  changed(): void
  /** Nothing can be stored any more. */
  broken(error: unknown): void
}

/** The place of a step in the order of ends. */
interface Place {
  readonly ord: number
  /** Stored: hand it out. Undefined: it did not end after all. */
  settle(step: Step | undefined): void
}

export class Ledger {
  readonly steps = new Map<string, Step>()
  /** Ended, not yet handed out, in order. */
  readonly due: Step[]
  readonly claim: Claim
  /** Arrived, not taken. */
  inbox: Arrival[]
  readonly #db: Database
  readonly #names: PluginNames
  readonly #limits: LedgerLimits
  readonly #signal: AbortSignal
  readonly #events: LedgerEvents
  #now: number
  #readAt = performance.now()
  #ord: number
  #seq: number
  #bytes = 0
  readonly #taken = new Set<number>()
  /** Whether progress has yet to be noted. */
  #crashed: boolean
  readonly #line: { done: boolean; step: Step | undefined }[] = []
  #waiting: { write: Write; stored(): void }[] = []
  #flushing = false
  /** Writes and transactions under way. */
  open = 0

  constructor(
    db: Database,
    names: PluginNames,
    job: { readonly id: string; readonly crashes: number; readonly signal: AbortSignal },
    begun: Begun,
    limits: LedgerLimits,
    events: LedgerEvents,
  ) {
    this.#db = db
    this.#names = names
    this.#limits = limits
    this.#signal = job.signal
    this.#events = events
    this.#crashed = job.crashes > 0
    this.claim = { id: job.id, token: begun.token }
    for (const step of begun.steps) this.steps.set(step.key, step)
    this.due = begun.steps.filter((step) => step.ord !== undefined).sort((a, b) => a.ord! - b.ord!)
    this.inbox = [...begun.news.inbox]
    this.#now = begun.news.now
    this.#ord = this.due.at(-1)?.ord ?? 0
    this.#seq = begun.steps.at(-1)?.seq ?? 0
    for (const { value } of begun.steps) this.#count(value === undefined ? undefined : JSON.stringify(value))
  }

  /** The database's time, Unix ms: as read, plus what has passed here since. */
  now(): number {
    return this.#now + (performance.now() - this.#readAt)
  }

  #clock(now: number): void {
    this.#now = now
    this.#readAt = performance.now()
  }

  /** @throws MILLRACE_FLOW_TOO_LARGE. */
  newStep(fields: Pick<Step, "key" | "kind" | "name" | "child">): Step {
    if (this.steps.size >= this.#limits.maxSteps)
      throw flowTooLarge(`Flow ${this.claim.id} has ${this.steps.size} steps, which is the limit (maxSteps).`)
    const step: Step = { ...fields, seq: (this.#seq += 1), status: "waiting", attempts: 0 }
    this.steps.set(step.key, step)
    return step
  }

  /** JSON text of a value to be stored. @throws MILLRACE_BAD_JSON, MILLRACE_FLOW_TOO_LARGE. */
  encode(key: string, value: unknown): string | undefined {
    if (value === undefined) return undefined
    const json = encodeJson(value)
    if ("problem" in json)
      throw failure(
        "MILLRACE_BAD_JSON",
        `What "${key}" returned cannot be stored: ${json.path ?? "$"} ${json.problem}.`,
      )
    const bytes = this.#bytes + json.bytes
    if (bytes > this.#limits.maxBytes) {
      throw flowTooLarge(
        `Flow ${this.claim.id} would store ${bytes} bytes with "${key}", over the limit of ${this.#limits.maxBytes} (maxBytes).`,
      )
    }
    return json.text
  }

  #count(text: string | undefined): void {
    if (text !== undefined) this.#bytes += Buffer.byteLength(text)
  }

  /** Takes the next place in the order of ends. */
  place(): Place {
    const entry: { done: boolean; step: Step | undefined } = { done: false, step: undefined }
    this.#line.push(entry)
    return {
      ord: (this.#ord += 1),
      settle: (step) => {
        entry.done = true
        entry.step = step
        while (this.#line[0]?.done) {
          const { step: ended } = this.#line.shift()!
          if (ended) this.due.push(ended)
        }
        this.#events.changed()
      },
    }
  }

  /** Stores the end of a step, and hands it out. */
  end(step: Step, how: Pick<Step, "error"> & { readonly text?: string | undefined; readonly takes?: Arrival }): void {
    const place = this.place()
    step.ord = place.ord
    step.status = how.error ? "failed" : "done"
    step.error = how.error
    step.value = how.text === undefined ? undefined : JSON.parse(how.text)
    this.#count(how.text)
    if (how.takes) {
      this.#taken.add(how.takes.id)
      this.inbox = this.inbox.filter((arrival) => arrival !== how.takes)
    }
    void this.write({ step: { ...step }, text: how.text, takes: how.takes }).then(() => place.settle(step))
  }

  /** Resolves when it is stored; never, when it cannot be. */
  write(write: Write): Promise<void> {
    this.open += 1
    return new Promise((resolve) => {
      this.#waiting.push({
        write,
        stored: () => {
          this.open -= 1
          resolve()
        },
      })
      if (this.#flushing) return
      this.#flushing = true
      void Promise.resolve().then(() => this.#flush())
    })
  }

  async #flush(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting
        this.#waiting = []
        // A wait may begin and end in one batch: its end is what counts.
        await this.#send([...new Map(batch.map(({ write }) => [write.step.key, write])).values()])
        for (const { stored } of batch) stored()
        this.#events.changed()
      }
      this.#flushing = false
    } catch (error) {
      this.#events.broken(error)
    }
  }

  async #send(writes: readonly Write[]): Promise<void> {
    const stored = await persist(this.#signal, () => store(this.#db, this.#names, this.claim, writes, this.#crashed))
    if (!stored) throw leaseLost(this.claim.id)
    this.#crashed = false
    this.#clock(stored.now)
    for (const [key, until] of Object.entries(stored.times ?? {})) {
      const step = this.steps.get(key)
      if (step) step.until = until
    }
  }

  /** What has arrived meanwhile, and what time it is. */
  async refresh(): Promise<void> {
    const { now, inbox } = await persist(this.#signal, () => readNews(this.#db, this.#names, this.claim.id))
    this.#clock(now)
    this.inbox = inbox.filter((arrival) => !this.#taken.has(arrival.id))
  }

  /**
   * Work in the database that commits together with the step's end, and is then handed out. When nobody heard of the end
   * of the transaction, it is looked up.
   *
   * @throws what `run` throws; MILLRACE_LEASE_LOST.
   */
  async together(
    step: Step,
    run: (tx: Transaction) => Promise<Outcome>,
    attempts: number = step.attempts,
  ): Promise<void> {
    this.open += 1
    let place: Place | undefined
    try {
      const value = await this.#db.transaction(async (tx) => {
        const outcome = await run(tx)
        const at = (place = this.place())
        const ended: Step = { ...step, attempts, status: "done", ord: at.ord, child: outcome.child, error: undefined }
        const stored = await store(tx, this.#names, this.claim, [{ step: ended, text: outcome.text }], this.#crashed)
        if (!stored) throw leaseLost(this.claim.id)
        return outcome
      })
      this.#crashed = false
      this.#hand(step, place!, value)
    } catch (error) {
      if (place === undefined || verdict(error) !== "retry") {
        place?.settle(undefined)
        throw error
      }
      // It may have been committed. Its place in the order stays open until that is known.
      const found = await persist(this.#signal, () => lookUp(this.#db, this.#names, this.claim, step.key))
      if (!found) {
        place.settle(undefined)
        throw error
      }
      this.#hand(step, place, { text: found.text ?? undefined, child: found.child ?? undefined })
    } finally {
      this.open -= 1
    }
  }

  #hand(step: Step, place: Place, { text, child }: Outcome): void {
    step.status = "done"
    step.ord = place.ord
    step.value = text === undefined ? undefined : JSON.parse(text)
    step.child = child
    this.#count(text)
    place.settle(step)
  }
}

/** What a step leaves behind. */
export interface Outcome {
  /** JSON text of its value. */
  readonly text?: string | undefined
  /** The job that it pushed. */
  readonly child?: string | undefined
}
