import type { World } from "./world.ts"

/*
 * The database of the model: the same tables and the same guards as the SQL, as plain maps. Each method is one
 * transaction. `mutant` takes one guard away, so that the checker itself can be tested.
 */

/** Guards that can be taken away, one at a time. */
export const mutants = [
  "settle without token",
  "recovery unguarded",
  "renewal of an expired lease",
  "claim by an expired worker",
  "no reconcile",
  "comparison blind to new calls",
  "no full scan",
  "no poll",
  "settlement dropped when its reply is lost",
  "leader renewal unchecked",
  "trust counted from the reply",
  "attempt charged on hand-back",
  "push without an id of its own",
] as const

export type Mutant = (typeof mutants)[number]

export interface Row {
  readonly id: number
  state: "pending" | "running" | "retrying"
  token: string | undefined
  worker: string | undefined
  claims: number
  attempts: number
  crashes: number
  /** Place in the ready index. */
  ready: number
  due: number
}

export interface Settlement {
  readonly id: number
  readonly token: string
  readonly outcome: "succeeded" | "retry" | "release"
}

export class Store {
  readonly jobs = new Map<number, Row>()
  readonly history = new Map<number, { readonly token: string; readonly attempts: number }>()
  readonly workers = new Map<string, number>()
  leader: { term: string; until: number } | undefined
  readonly #world: World
  readonly #mutant: Mutant | undefined
  /** What went wrong, by the rules that must always hold. */
  readonly broken: string[] = []
  /** Every write about an attempt that took effect, by token. */
  readonly settled = new Map<string, Set<number>>()
  /** Effects that were committed together with their completion. */
  readonly effects = new Map<number, number>()
  /** Attempts that ended with an outcome of their own, by job. */
  readonly #ends = new Map<number, number>()

  constructor(world: World, mutant?: Mutant) {
    this.#world = world
    this.#mutant = mutant
  }

  get #now(): number {
    return this.#world.now
  }

  /** `began`: when its transaction began, which is the place that it gets in the queue. */
  push(id: number, began: number): void {
    if (this.#mutant === "push without an id of its own") {
      if (this.jobs.has(id) || this.history.has(id)) this.broken.push(`job ${id} was pushed twice`)
    }
    if (this.jobs.has(id) || this.history.has(id)) return
    const fresh = { token: undefined, worker: undefined, claims: 0, attempts: 0, crashes: 0 }
    this.jobs.set(id, { id, state: "pending", ...fresh, ready: began, due: 0 })
  }

  enter(worker: string, lease: number): void {
    this.workers.set(worker, this.#now + lease)
  }

  renew(worker: string, lease: number): boolean {
    const until = this.workers.get(worker)
    const dead = until === undefined || until < this.#now
    if (dead && !(this.#mutant === "renewal of an expired lease" && until !== undefined)) return false
    this.workers.set(worker, this.#now + lease)
    return true
  }

  leave(worker: string): void {
    this.workers.delete(worker)
  }

  /** Settles, then claims: `cycle_1`. */
  cycle(worker: string, settle: readonly Settlement[], token: string, limit: number, floor: number) {
    const stale = settle.filter((one) => !this.settle(one))
    const expired = (this.workers.get(worker) ?? -1) < this.#now
    const alive = !expired || (this.#mutant === "claim by an expired worker" && this.workers.has(worker))
    const claimed = alive ? this.#claim(worker, token, limit, floor) : []
    if (expired && claimed.length > 0) this.broken.push(`${worker} claimed jobs after its lease was over`)
    return {
      stale,
      alive,
      claimed: claimed.map(({ id, claims, attempts, ready }) => ({ id, claims, attempts, ready })),
    }
  }

  /** Carries one outcome out if its claim is valid. */
  settle({ id, token, outcome }: Settlement): boolean {
    const row = this.jobs.get(id)
    if (!row) return false
    if (row.token !== token) {
      if (this.#mutant !== "settle without token" || row.state !== "running") return false
    }
    this.#ended(row, token)
    const charge = outcome === "release" ? (this.#mutant === "attempt charged on hand-back" ? 1 : 0) : 1
    row.attempts += charge
    if (outcome !== "release") this.#ends.set(id, (this.#ends.get(id) ?? 0) + 1)
    if (row.attempts !== (this.#ends.get(id) ?? 0)) this.broken.push(`job ${id} was charged ${row.attempts} attempts`)
    if (outcome === "succeeded") {
      this.jobs.delete(id)
      if (this.history.has(id)) this.broken.push(`job ${id} finished twice`)
      this.history.set(id, { token, attempts: row.attempts })
    } else this.#free(row, outcome === "retry" ? this.#now + 100 : undefined)
    return true
  }

  /** A write that took effect must be the first end of its own claim, and that claim the valid one. */
  #ended(row: Row, token: string): void {
    if (row.token !== token) this.broken.push(`a stale claim ended job ${row.id}`)
    const ends = this.settled.get(token) ?? new Set()
    if (ends.has(row.id)) this.broken.push(`claim ${token} of job ${row.id} ended twice`)
    this.settled.set(token, ends.add(row.id))
  }

  #free(row: Row, due?: number): void {
    row.state = due === undefined ? "pending" : "retrying"
    row.token = row.worker = undefined
    row.ready = this.#now
    row.due = due ?? 0
  }

  #claim(worker: string, token: string, limit: number, floor: number): Row[] {
    const ready = [...this.jobs.values()].filter((row) => row.state === "pending" && row.ready >= floor)
    const taken = ready.toSorted((a, b) => a.ready - b.ready || a.id - b.id).slice(0, limit)
    for (const row of taken) {
      row.state = "running"
      row.token = token
      row.worker = worker
      row.claims += 1
    }
    return taken
  }

  /** The handler's effect and its completion in one transaction. */
  complete(id: number, token: string): boolean {
    if (!this.settle({ id, token, outcome: "succeeded" })) return false
    this.effects.set(id, (this.effects.get(id) ?? 0) + 1)
    return true
  }

  promote(): void {
    for (const row of this.jobs.values()) if (row.state === "retrying" && row.due <= this.#now) this.#free(row)
  }

  /** Whether this claim is valid, or has ended by its own hand. */
  honours(id: number, token: string): boolean {
    return this.jobs.get(id)?.token === token || this.settled.get(token)?.has(id) === true
  }

  claimsOf(worker: string): { id: number; token: string }[] {
    const mine = [...this.jobs.values()].filter((row) => row.state === "running" && row.worker === worker)
    return mine.map(({ id, token }) => ({ id, token: token! }))
  }

  /** First half of a recovery: what it sees. */
  dead(): { id: number; token: string }[] {
    const held = [...this.jobs.values()].filter((row) => row.state === "running")
    const lost = held.filter((row) => (this.workers.get(row.worker!) ?? -1) < this.#now)
    return lost.map(({ id, token }) => ({ id, token: token! }))
  }

  /** Second half: with its guard, only claims that are still there and still dead. */
  takeBack(found: readonly { id: number; token: string }[]): void {
    for (const { id, token } of found) {
      const row = this.jobs.get(id)
      if (!row) {
        if (this.#mutant === "recovery unguarded" && this.history.delete(id)) {
          this.broken.push(`recovery took the finished job ${id} back`)
        }
        continue
      }
      const still = row.token === token && (this.workers.get(row.worker!) ?? -1) < this.#now
      if (!still && this.#mutant !== "recovery unguarded") continue
      if (row.state === "running" && !still) this.broken.push(`recovery took job ${id} from a live claim`)
      row.crashes += 1
      this.#free(row)
    }
  }

  elect(term: string, lease: number): boolean {
    if (this.leader && this.leader.until >= this.#now) return false
    this.leader = { term, until: this.#now + lease }
    return true
  }

  renewTerm(term: string, lease: number): boolean {
    const own = this.leader?.term === term && this.leader.until >= this.#now
    if (!own && this.#mutant !== "leader renewal unchecked") return false
    this.leader = { term, until: this.#now + lease }
    return true
  }
}
