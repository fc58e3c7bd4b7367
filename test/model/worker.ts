import type { Random } from "./random.ts"
import type { Mutant, Settlement, Store } from "./store.ts"
import { Process, type Call, type Reply, type Thread, type World, type Yielded } from "./world.ts"

/*
 * The protocol of a worker, as docs/design/core.md tells it: one loop that settles and claims, a heartbeat, a comparison
 * of what the database says with what is held, a sweep, a leader term. No decision uses a clock but for trust in a lease,
 * which is counted from before the request.
 */

export const timing = { lease: 600, heartbeat: 100, sweep: 150, poll: 200, term: 500, reconcile: 200, fullScan: 400 }

export interface Crew {
  readonly world: World
  readonly store: Store
  readonly random: Random
  readonly mutant: Mutant | undefined
  /** How a handler goes, ms. */
  readonly longest: number
  fresh(): string
}

export class ModelWorker {
  readonly process: Process
  readonly #crew: Crew
  #incarnation = ""
  #trusted = 0
  /** Claims that are held: token and job. */
  #held = new Map<string, Set<number>>()
  #outcomes: Settlement[] = []
  readonly #inFlight = new Set<string>()
  readonly #ran = new Set<string>()
  #floor = 0
  #scanned = 0
  /** Whether a wake-up was heard; notices may be lost. */
  #woken = true
  stopping = false
  stopped = false
  term: { readonly name: string; until: number } | undefined

  constructor(name: string, crew: Crew) {
    this.process = new Process(name)
    this.#crew = crew
    for (const thread of [this.#cycles(), this.#heartbeats(), this.#compares(), this.#sweeps(), this.#leads()]) {
      crew.world.spawn(this.process, thread)
    }
  }

  wake(): void {
    this.#woken = true
  }

  /** Believes that it leads, at this moment. */
  get leads(): boolean {
    const { world } = this.#crew
    return (
      this.term !== undefined &&
      world.now < this.term.until &&
      this.process.alive &&
      this.process.frozenUntil <= world.now
    )
  }

  /** A claim that it holds, trusting its lease, although it was taken away; undefined: there is none. */
  get misplacedTrust(): number | undefined {
    const { world, store } = this.#crew
    const acts = this.process.alive && this.process.frozenUntil <= world.now && world.now < this.#trusted
    if (!acts) return undefined
    for (const [token, ids] of this.#held) for (const id of ids) if (!store.honours(id, token)) return id
    return undefined
  }

  *#call<T>(what: string, run: () => T): Generator<Yielded, T | undefined, Reply> {
    const call: Call<T> = { what, run }
    const reply = yield { call }
    return reply.ok ? (reply.value as T) : undefined
  }

  *#sleep(ms: number): Generator<Yielded, void, Reply> {
    yield { sleep: ms }
  }

  /** Registers under a new incarnation; everything of the old one is given up. */
  *#enter(): Generator<Yielded, void, Reply> {
    const { store, fresh, world } = this.#crew
    for (;;) {
      const incarnation = fresh()
      const sent = world.now
      const done = yield* this.#call("enter", () => (store.enter(incarnation, timing.lease), true))
      if (!done) continue
      this.#incarnation = incarnation
      this.#held.clear()
      this.#outcomes = []
      this.#trusted = (this.#crew.mutant === "trust counted from the reply" ? world.now : sent) + timing.lease
      return
    }
  }

  *#cycles(): Thread {
    const { world, store, mutant, fresh } = this.#crew
    yield* this.#enter()
    for (;;) {
      if (world.now >= this.#trusted) yield* this.#enter()
      const free = this.stopping ? 0 : 3 - this.#running
      if (this.#outcomes.length === 0 && (free === 0 || !this.#woken)) {
        if (this.stopping && this.#running === 0) return this.#leave()
        yield* this.#sleep(5)
        if (mutant !== "no poll" && world.now % timing.poll < 5) this.#woken = true
        continue
      }
      const settle = this.#outcomes.slice(0, 4)
      const token = fresh()
      const full = mutant !== "no full scan" && world.now >= this.#scanned + timing.fullScan
      if (full) this.#scanned = world.now
      const [incarnation, floor] = [this.#incarnation, full ? 0 : this.#floor]
      this.#woken = false
      this.#inFlight.add(token)
      const reply = yield* this.#call("cycle", () => store.cycle(incarnation, settle, token, free, floor))
      this.#inFlight.delete(token)
      if (incarnation !== this.#incarnation) continue
      if (!reply) {
        if (mutant === "settlement dropped when its reply is lost") this.#forget(settle)
        this.#woken = true
        continue
      }
      this.#forget(settle)
      if (!reply.alive && !this.stopping) {
        yield* this.#enter()
        continue
      }
      if (reply.claimed.length > 0) this.#woken = true
      for (const { id, ready } of reply.claimed) {
        this.#floor = Math.max(this.#floor, ready)
        this.#hold(token, id)
        world.spawn(this.process, this.#handler(id, token))
      }
    }
  }

  #forget(settle: readonly Settlement[]): void {
    this.#outcomes = this.#outcomes.filter((one) => !settle.includes(one))
    for (const { id, token } of settle) this.#held.get(token)?.delete(id)
  }

  get #running(): number {
    return [...this.#held.values()].reduce((sum, ids) => sum + ids.size, 0)
  }

  #hold(token: string, id: number): void {
    this.#held.set(token, (this.#held.get(token) ?? new Set()).add(id))
  }

  *#handler(id: number, token: string): Thread {
    const { random, store, longest } = this.#crew
    const own = () => this.#held.get(token)?.has(id) === true
    if (this.stopping) return this.#settle({ id, token, outcome: "release" }, own)
    this.#ran.add(`${token} ${id}`)
    yield* this.#sleep(random.between(0, longest))
    if (!own()) return // given up meanwhile: its signal has fired
    if (id % 5 === 0) {
      const done = yield* this.#call("complete", () => store.complete(id, token))
      // Unknown: ask, by sending it as an outcome; a claim that has ended makes it stale.
      if (done === undefined) return this.#settle({ id, token, outcome: "retry" }, own)
      this.#held.get(token)?.delete(id)
      return
    }
    this.#settle({ id, token, outcome: random.chance(0.2) ? "retry" : "succeeded" }, own)
  }

  #settle(one: Settlement, own: () => boolean): void {
    if (own()) this.#outcomes.push(one)
  }

  *#heartbeats(): Thread {
    const { world, store, mutant } = this.#crew
    for (;;) {
      yield* this.#sleep(timing.heartbeat)
      if (this.stopped) return
      if (this.#incarnation === "") continue
      const [incarnation, sent] = [this.#incarnation, world.now]
      const reply = yield* this.#call("renew", () => store.renew(incarnation, timing.lease))
      if (incarnation !== this.#incarnation || reply === undefined) continue
      if (reply) this.#trusted = (mutant === "trust counted from the reply" ? world.now : sent) + timing.lease
      else this.#trusted = 0
    }
  }

  /** What the database says it holds and nobody here knows of: the reply of a claim was lost. */
  *#compares(): Thread {
    const { store, mutant } = this.#crew
    for (;;) {
      yield* this.#sleep(timing.reconcile)
      if (this.stopped || mutant === "no reconcile") return
      const incarnation = this.#incarnation
      // Known is what was held or being claimed when the question was sent, and what is when the answer comes.
      const inFlightBefore = new Set(this.#inFlight)
      const heldBefore = new Set([...this.#held].flatMap(([token, ids]) => [...ids].map((id) => `${token} ${id}`)))
      const rows = yield* this.#call("compare", () => store.claimsOf(incarnation))
      if (!rows || incarnation !== this.#incarnation) continue
      const inFlight = mutant === "comparison blind to new calls" ? inFlightBefore : this.#inFlight
      const unknown = rows.filter(
        ({ id, token }) =>
          !inFlightBefore.has(token) &&
          !inFlight.has(token) &&
          !heldBefore.has(`${token} ${id}`) &&
          !this.#held.get(token)?.has(id),
      )
      if (unknown.length === 0) continue
      yield* this.#call("hand back", () => {
        for (const { id, token } of unknown) {
          const released = store.settle({ id, token, outcome: "release" })
          if (released && this.#ran.has(`${token} ${id}`))
            store.broken.push(`the outcome of job ${id} was lost in memory`)
        }
      })
    }
  }

  *#sweeps(): Thread {
    const { store, mutant } = this.#crew
    for (;;) {
      yield* this.#sleep(timing.sweep)
      if (this.stopped) return
      yield* this.#call("promote", () => store.promote())
      if (mutant === "recovery unguarded") {
        const found = yield* this.#call("look for the dead", () => store.dead())
        if (found) yield* this.#call("take back", () => store.takeBack(found))
      } else yield* this.#call("take back", () => store.takeBack(store.dead()))
    }
  }

  *#leads(): Thread {
    const { world, store, fresh, mutant } = this.#crew
    for (;;) {
      yield* this.#sleep(timing.term / 5)
      if (this.stopped) return
      const sent = world.now
      const { term } = this
      const name = term?.name ?? fresh()
      const reply = yield* this.#call(term ? "renew term" : "elect", () =>
        term ? store.renewTerm(name, timing.term) : store.elect(name, timing.term),
      )
      if (reply === true)
        this.term = { name, until: (mutant === "trust counted from the reply" ? world.now : sent) + timing.term }
      else if (reply === false || (term && world.now >= term.until)) this.term = undefined
    }
  }

  #leave(): void {
    this.stopped = true
    this.#crew.store.leave(this.#incarnation)
  }
}
