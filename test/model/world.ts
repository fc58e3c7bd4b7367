import type { Random } from "./random.ts"

/*
 * Virtual time, processes and faults. A process is a set of threads (generators) that share memory. A thread yields what
 * it waits for: a call of the database, or time. Every call is a point where a fault may strike: the request is lost, the
 * reply is lost, either is late. A process may freeze for a while, or die, at any step.
 */

/** A call of the database: carried out in one instant, as a transaction is. */
export interface Call<T = unknown> {
  readonly what: string
  run(): T
}

export type Yielded = { readonly sleep: number } | { readonly call: Call }
/** Sent back to a thread: the reply of its call, or that nobody knows what became of it. */
export type Reply = { readonly ok: true; readonly value: unknown } | { readonly ok: false }
export type Thread = Generator<Yielded, void, Reply>

export interface Faults {
  /** Shares of calls. */
  readonly loseRequest: number
  readonly loseReply: number
  readonly delay: number
  /** Per step. */
  readonly freeze: number
  readonly kill: number
  /** Milliseconds. */
  readonly longestFreeze: number
}

interface Event {
  readonly at: number
  readonly order: number
  run(): void
}

export class Process {
  readonly name: string
  alive = true
  frozenUntil = 0
  constructor(name: string) {
    this.name = name
  }
}

export class World {
  now = 0
  steps = 0
  faulty = true
  /** What was injected, for the checker: a duplicate must have a reason. */
  injected = 0
  readonly #random: Random
  readonly #faults: Faults
  readonly #trace: string[] = []
  #events: Event[] = []
  #order = 0

  constructor(random: Random, faults: Faults) {
    this.#random = random
    this.#faults = faults
  }

  /** The newest steps, for a person. */
  get trace(): readonly string[] {
    return this.#trace.slice(-80)
  }

  say(who: string, what: string): void {
    this.#trace.push(`${String(this.now).padStart(7)} ms  ${who.padEnd(10)} ${what}`)
    if (this.#trace.length > 2_000) this.#trace.splice(0, 1_000)
  }

  at(time: number, run: () => void): void {
    // Among events of one moment chance decides, not the order in which they were planned.
    push(this.#events, { at: Math.max(time, this.now), order: this.#random.next() + this.#order++ * 1e-12, run })
  }

  spawn(process: Process, thread: Thread): void {
    this.at(this.now, () => this.#resume(process, thread, { ok: true, value: undefined }))
  }

  /** Takes steps until the time, or until nothing is left to happen. */
  runUntil(time: number): void {
    for (let event = this.#events[0]; event && event.at <= time; event = this.#events[0]) {
      pop(this.#events)
      this.now = event.at
      this.steps += 1
      event.run()
    }
    this.now = time
  }

  #resume(process: Process, thread: Thread, reply: Reply): void {
    if (!process.alive) return
    if (process.frozenUntil > this.now) return this.at(process.frozenUntil, () => this.#resume(process, thread, reply))
    if (this.#strike(process)) return this.#resume(process, thread, reply)
    const { done, value } = thread.next(reply)
    if (done) return
    if ("sleep" in value) {
      const woken: Reply = { ok: true, value: undefined }
      return this.at(this.now + value.sleep, () => this.#resume(process, thread, woken))
    }
    this.#send(process, thread, value.call)
  }

  /** Freezes or kills the process, now and then. */
  #strike(process: Process): boolean {
    if (!this.faulty) return false
    if (this.#random.chance(this.#faults.kill)) {
      this.say(process.name, "is killed")
      this.injected += 1
      process.alive = false
      return true
    }
    if (!this.#random.chance(this.#faults.freeze)) return false
    process.frozenUntil = this.now + this.#random.between(1, this.#faults.longestFreeze)
    this.say(process.name, `is frozen until ${process.frozenUntil} ms`)
    this.injected += 1
    return true
  }

  #send(process: Process, thread: Thread, call: Call): void {
    const lost: Reply = { ok: false }
    const fail = (what: string) => {
      this.say(process.name, `${call.what}: ${what}`)
      this.injected += 1
      this.at(this.now + this.#latency() + 50, () => this.#resume(process, thread, lost))
    }
    if (this.faulty && this.#random.chance(this.#faults.loseRequest)) return fail("request lost")
    this.at(this.now + this.#latency(), () => {
      const value = call.run()
      if (this.faulty && this.#random.chance(this.#faults.loseReply)) return fail("done, reply lost")
      this.at(this.now + this.#latency(), () => this.#resume(process, thread, { ok: true, value }))
    })
  }

  #latency(): number {
    const late = this.faulty && this.#random.chance(this.#faults.delay)
    return late ? this.#random.between(10, 400) : this.#random.between(0, 2)
  }
}

// A binary heap by (at, order).
const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

function push(heap: Event[], event: Event): void {
  let index = heap.push(event) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (!before(event, heap[parent]!)) break
    heap[index] = heap[parent]!
    index = parent
  }
  heap[index] = event
}

function pop(heap: Event[]): void {
  const last = heap.pop()!
  if (heap.length === 0) return
  let index = 0
  for (;;) {
    let child = index * 2 + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
    if (!before(heap[child]!, last)) break
    heap[index] = heap[child]!
    index = child
  }
  heap[index] = last
}
