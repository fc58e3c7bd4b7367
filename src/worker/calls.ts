import { randomUUID } from "node:crypto"
import { backoffDelay } from "../lib/backoff.ts"
import { monotonic } from "../lib/clock.ts"
import {
  cycle,
  noFloors,
  type ClaimedRow,
  type CycleSummary,
  type Floors,
  type LimitedClaim,
} from "../postgres/jobs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import type { Home, Identity } from "./home.ts"
import { ScanFloors } from "./scan-floors.ts"
import type { Settler } from "./settler.ts"
import { stripped, type Unsettled } from "./settlements.ts"

/*
 * The calls of one queue to the database. Each settles what has finished and claims what comes next. While one is in
 * flight, outcomes gather and slots free up; its reply starts the next. So batches form by themselves under load, nobody
 * waits when idle, and no polling interval is in the path. With much to do, two are in flight.
 */

/** One call: how many jobs it asked for, and how long it took, ms. */
export interface Asked {
  readonly asked: number
  readonly took: number
}

/** What the calls ask of their queue. */
export interface CallRules {
  /** Jobs to hold, running ones included. */
  wanted(): number
  /** Whether a job that was lost with its worker before may be claimed: one at a time. */
  suspect(): boolean
  /** Jobs held, running or waiting for a slot. */
  inHand(): number
  /** Job names to leave to others. */
  except(): readonly string[] | null
  accept(rows: readonly ClaimedRow[], token: string, claimedAs: Identity, call: Asked): void
  /** The revision and the pause that the reply told. */
  told(summary: CycleSummary): void
  /** A slot of a limit is free, and this worker did not take it. */
  passOn(): void
  /** A call has ended. */
  after(): void
}

const mostClaims = 2_000
const mostSettlements = 4_000
const worthASecondCall = 100
/** The longest that setTimeout can wait, ms. */
const longestTimer = 2_147_483_647
const retries = { initial: 50, factor: 2, max: 5_000, jitter: "full" } as const

export class Calls {
  readonly #home: Home
  readonly #queue: string
  readonly #settler: Settler
  readonly #rules: CallRules
  readonly #floors = new ScanFloors()
  /** In flight: how many each may claim, by the token of its claims. */
  readonly #flying = new Map<string, number>()
  #isolating = 0
  readonly #stripped = new WeakSet<Unsettled>()
  /** There may be ready jobs. */
  #hungry = true
  #wakes = 0
  #failures = 0
  #notBefore = 0
  #pumpQueued = false
  #abandoned = false
  #retryTimer: NodeJS.Timeout | undefined
  #fullTimer: NodeJS.Timeout | undefined
  #limitTimer: NodeJS.Timeout | undefined
  /** The queue has limits, or keyed jobs: what ends makes room for what waits. */
  #limited = false

  constructor(home: Home, queue: string, settler: Settler, rules: CallRules) {
    this.#home = home
    this.#queue = queue
    this.#settler = settler
    this.#rules = rules
  }

  get busy(): boolean {
    return this.#flying.size > 0 || this.#isolating > 0
  }

  /** Tokens of the claims that calls in flight may be making. */
  get tokens(): Iterable<string> {
    return this.#flying.keys()
  }

  claiming(token: string): boolean {
    return this.#flying.has(token)
  }

  /** There may be something to claim. */
  wake(): void {
    this.#wakes += 1
    this.#hungry = true
    this.pump()
  }

  /** A claim has ended otherwise than with a call: it may have made room. */
  freed(): void {
    if (this.#limited) this.wake()
  }

  stop(): void {
    clearTimeout(this.#fullTimer)
    clearTimeout(this.#limitTimer)
    this.pumpSoon()
  }

  /** Sends what there is to send once the present turn of the event loop is over, so that its outcomes travel together. */
  pumpSoon(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    setImmediate(() => {
      this.#pumpQueued = false
      this.pump()
    })
  }

  /** Nothing is sent any more: the worker has given up waiting for the database. */
  abandon(): void {
    this.#abandoned = true
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#fullTimer)
    clearTimeout(this.#limitTimer)
  }

  pump(): void {
    if (this.#abandoned) return
    const wait = this.#notBefore - performance.now()
    if (wait > 0) return this.#pumpIn(wait)
    while (this.#flying.size < 2) {
      const settling = this.#settler.settlements.waiting
      if (this.#limited && settling > 0) this.#hungry = true
      const limit = this.#hungry && !this.#isClaiming ? this.#demand() : 0
      if (settling === 0 && limit === 0) return
      if (this.#flying.size === 1 && settling < worthASecondCall && limit < worthASecondCall) return
      // With much of both, two calls side by side: one claims, the other settles.
      const apart = settling >= worthASecondCall && limit >= worthASecondCall
      void this.#call(limit, apart ? 0 : mostSettlements)
    }
  }

  /** A second claim beside one in flight would walk over the rows that the first has locked. */
  get #isClaiming(): boolean {
    for (const limit of this.#flying.values()) if (limit > 0) return true
    return false
  }

  #pumpIn(ms: number): void {
    if (this.#retryTimer) return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.pump()
    }, ms)
  }

  /** Jobs to ask for: what is wanted, less what is held. */
  #demand(): number {
    return Math.max(0, Math.min(this.#rules.wanted() - this.#rules.inHand(), mostClaims))
  }

  async #call(limit: number, settlements: number): Promise<void> {
    const batch = this.#settler.settlements.take(settlements)
    const token = randomUUID()
    const worker = this.#home.identity()
    const floors = limit > 0 ? this.#floors.next() : noFloors
    const wakes = this.#wakes
    this.#flying.set(token, limit)
    const sent = monotonic()
    try {
      const { claimed, summary } = await this.#send(worker, batch, token, limit, floors)
      this.#failures = 0
      this.#settler.settlements.confirm(batch)
      this.#settler.confirmed(batch, summary)
      this.#rules.accept(claimed, token, worker, { asked: limit, took: monotonic() - sent })
      if (limit > 0) this.#learn(claimed, limit, summary, floors, wakes, worker)
      // Others may have stopped asking because of the limit.
      if (this.#limited && batch.length > claimed.length && claimed.length === limit) this.#rules.passOn()
    } catch (error) {
      await this.#failed(batch, error, limit)
    } finally {
      this.#flying.delete(token)
    }
    this.#rules.after()
    this.pump()
  }

  #send(worker: Identity, batch: readonly Unsettled[], token: string, limit: number, floors: Floors) {
    const { db, names } = this.#home.context
    return cycle(db, names, {
      worker: worker.incarnation,
      workerId: worker.id,
      queue: this.#queue,
      settle: batch.map((one) => one.settlement),
      token,
      limit,
      suspect: limit > 0 && this.#rules.suspect(),
      except: limit > 0 ? this.#rules.except() : null,
      floors,
    })
  }

  /** Whether to ask again at once, when a full scan is affordable, or when somebody wakes us. */
  #learn(
    claimed: readonly ClaimedRow[],
    limit: number,
    summary: CycleSummary,
    floors: Floors,
    wakes: number,
    worker: Identity,
  ): void {
    if (!summary.alive && summary.paused !== null) {
      this.#hungry = false // until the worker is in again, and wakes us
      return this.#home.leaseLost(worker.incarnation)
    }
    this.#rules.told(summary)
    if (summary.paused === false) this.#limited = summary.limited !== undefined
    if (summary.limited) return this.#learnLimits(claimed.length === limit, summary.limited, wakes)
    this.#floors.learn(claimed, floors, summary.scanMs)
    if (claimed.length === limit) return
    this.#hungry = wakes !== this.#wakes
    if (floors.ranks.length === 0) return
    // Nothing behind the floors; what committed late may be before them.
    clearTimeout(this.#fullTimer)
    this.#fullTimer = setTimeout(() => this.wake(), Math.max(1, this.#floors.untilFull()))
  }

  #learnLimits(all: boolean, { more, waitMs }: LimitedClaim, wakes: number): void {
    this.#hungry = all || more || wakes !== this.#wakes
    clearTimeout(this.#limitTimer)
    if (this.#hungry || waitMs === null) return
    this.#limitTimer = setTimeout(() => this.wake(), Math.min(Math.ceil(waitMs) + 1, longestTimer))
  }

  async #failed(batch: readonly Unsettled[], error: unknown, limit: number): Promise<void> {
    if (limit > 0) this.#home.reconcileSoon()
    const why = verdict(error)
    if (why === "data" && batch.length > 0) return this.#isolate(batch, error)
    this.#settler.settlements.putBack(batch)
    if (this.#abandoned) return
    this.#failures += 1
    if (why === "partition") {
      await this.#home.repair(error).catch(() => {})
      if (this.#failures === 1) return
    }
    this.#backOff(error)
  }

  #backOff(error: unknown): void {
    const wait = Math.round(backoffDelay(retries, this.#failures)) + 10
    this.#notBefore = performance.now() + wait
    const level = verdict(error) === "fatal" ? "error" : this.#failures === 1 ? "warn" : "debug"
    this.#home.context.log[level](`queue "${this.#queue}": a call to the database failed; trying again`, {
      error: String(error),
      inMs: wait,
      unsaved: this.#settler.settlements.size,
    })
  }

  /** Finds by halving the outcome that cannot be stored, and stores that finish without what it left. */
  async #isolate(batch: readonly Unsettled[], error: unknown): Promise<void> {
    this.#settler.settlements.confirm(batch)
    this.#isolating += 1
    await this.#halve(batch, error)
    this.#isolating -= 1
  }

  async #halve(batch: readonly Unsettled[], error: unknown): Promise<void> {
    if (batch.length === 1) return this.#strip(batch[0]!, error)
    const middle = batch.length >> 1
    for (const half of [batch.slice(0, middle), batch.slice(middle)]) {
      try {
        const { summary } = await this.#send(this.#home.identity(), half, randomUUID(), 0, noFloors)
        this.#settler.confirmed(half, summary)
      } catch (again) {
        if (verdict(again) === "data") await this.#halve(half, again)
        else for (const one of half) this.#settler.settlements.add(one)
      }
    }
  }

  #strip(one: Unsettled, error: unknown): void {
    this.#home.context.log.error(`job ${one.settlement.id}: its outcome could not be stored as it was`, {
      error: String(error),
    })
    const again = this.#stripped.has(one)
    this.#stripped.add(one)
    one.settlement = stripped(one, String(error))
    if (!again) return this.#settler.settlements.add(one)
    // Refused even so: it waits apart, so that claims do not roll back with it again and again.
    setTimeout(() => {
      this.#settler.settlements.add(one)
      this.pumpSoon()
    }, retries.max)
  }
}
