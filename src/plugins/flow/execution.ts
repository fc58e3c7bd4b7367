import { deferred, type Deferred } from "../../lib/deferred.ts"
import { failure } from "../../model/errors.ts"
import type { Hub } from "../../model/hub.ts"
import { discard, isDirective, snooze, type Directive } from "../../model/outcome.ts"
import type { RunningJob } from "../../model/running-job.ts"
import type { Ledger } from "./ledger.ts"
import { badId, flowChanged, thrown } from "./problems.ts"
import type { Kind, Step } from "./store.ts"
import { lookAt } from "./waits.ts"

/*
 * One execution of a flow's function: from a claim to the end of the flow, or to the next wait.
 *
 *   replay ──(all that is stored was asked for and handed out)──► live ──► done
 *     │                                                            │
 *     └─ something stored is not asked for: MILLRACE_FLOW_CHANGED   └─ nothing runs, something waits: parked
 *
 * While replaying, nothing new begins. What the code asks for and is not stored waits until everything that is stored was
 * asked for; if that never comes about, the code is not the code that stored it. Results are handed out in the order in
 * which they were first stored, one per turn of the event loop, so that races between branches end as they did.
 *
 * A promise that waits is abandoned, not rejected, when the run is parked: no catch and no finally of the code runs for it.
 */

/** Something that the code asked for. */
export interface Call {
  readonly kind: Kind
  /** Of the signal or the job. */
  readonly name?: string | undefined
  readonly child?: string | undefined
  /** Begins it: new, or once more after a wait. */
  start(step: Step): void
}

interface Asked extends Deferred<Step> {
  readonly key: string
  readonly call: Call
  /** Begun, or found in what is stored. */
  step: Step | undefined
  /** `start` is at work on it. */
  busy: boolean
}

/** How the function ended. */
type Settled = { readonly value: unknown } | { readonly error: unknown }

/** An id of the user's. "#" counts those that come again. */
const idPattern = /^[^#\0\p{Cs}]{1,200}$/u

/** How long code that awaits something outside of any step is waited for before it counts as changed, ms. */
const patience = 1_000
/** How often a running execution looks for what it waits for, ms: it hears of it, if notifications arrive. */
const safetyNet = 5_000
const withoutNotices = 300
const longest = 3_650 * 86_400_000
const never = new Promise<never>(() => {})

export class Execution {
  readonly job: RunningJob<never>
  readonly ledger: Ledger
  readonly #arrives: () => boolean
  #ended = false
  readonly #over = new AbortController()
  #replaying = true
  readonly #asked = new Map<string, Asked>()
  /** Those without an answer. */
  readonly #open = new Set<Asked>()
  readonly #counts = new Map<string, number>()
  #fresh: Asked[] = []
  /** Stored steps that the code has not asked for. */
  readonly #unasked: Set<string>
  #outcome: Settled | undefined
  /** How this execution ends, whatever the function still does. */
  #end: Settled | undefined
  #poked = deferred<void>()
  #stale = false
  #running = 0
  /** Errors that every replay will throw again. */
  readonly #recorded = new WeakSet<object>()

  /** @param arrives whether notifications do: else what comes is looked for more often. */
  constructor(job: RunningJob<never>, ledger: Ledger, arrives: () => boolean) {
    this.job = job
    this.#arrives = arrives
    this.ledger = ledger
    this.#unasked = new Set(ledger.steps.keys())
  }

  get replaying(): boolean {
    return this.#replaying && (this.ledger.due.length > 0 || this.#unasked.size > 0)
  }

  /** Something has changed: the loop looks again. */
  poke(): void {
    this.#poked.resolve()
  }

  /** Ends this execution: its attempt failed. */
  fail(error: unknown): void {
    this.#end ??= { error }
    this.poke()
  }

  /** Ends the run as failed for good. */
  giveUp(error: unknown): void {
    this.#end ??= { value: discard(error) }
    this.poke()
  }

  /** An error that is stored, or follows from what is stored. */
  record<E extends object>(error: E): E {
    this.#recorded.add(error)
    return error
  }

  /** Nothing that still runs is wanted. */
  get ended(): boolean {
    return this.#ended
  }

  get stopped(): boolean {
    return this.#ended || this.job.signal.aborted
  }

  /** Fires when the execution has ended: steps that lost a race may stop. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  /** Runs the function until it ends (its value), or until all of it waits (a directive to come again). */
  async run(call: () => unknown, hub: Hub): Promise<unknown> {
    const onAbort = () => this.poke()
    this.job.signal.addEventListener("abort", onAbort)
    const unhear = hub.on("flow.news", ({ body }) => {
      if (body.id !== this.job.id) return
      this.#stale = true
      this.poke()
    })
    this.#follow(call)
    try {
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve))
        const end = await this.#advance()
        if (end) return end.value
      }
    } finally {
      this.#ended = true
      this.#over.abort(failure("MILLRACE_CANCELLED", `Flow ${this.job.id} went on without this step.`))
      unhear()
      this.job.signal.removeEventListener("abort", onAbort)
    }
  }

  #follow(call: () => unknown): void {
    Promise.resolve()
      .then(call)
      .then(
        (value) => (this.#outcome = { value }),
        (error: unknown) => (this.#outcome = { error }),
      )
      .finally(() => this.poke())
      .catch(() => {})
  }

  // ---- what the code asks for -----------------------------------------------------------------------------------------

  /** Resolves with the step when it has ended well; rejects with its stored error. Never settles when the execution ends first. */
  ask(id: string, call: Call, where: string): Promise<Step> {
    if (typeof id !== "string" || !idPattern.test(id)) return Promise.reject(badId(where, id))
    if (this.#ended || this.#end) return never
    const count = (this.#counts.get(id) ?? 0) + 1
    this.#counts.set(id, count)
    const key = count === 1 ? id : `${id}#${count}`
    const asked: Asked = { key, call, step: this.ledger.steps.get(key), busy: false, ...deferred<Step>() }
    asked.promise.catch(() => {}) // the code may look later, or never: neither may end the process
    this.#asked.set(key, asked)
    this.#open.add(asked)
    if (!asked.step) this.#fresh.push(asked)
    else if (differs(asked.step, call)) this.#changed(asked.step, { key, ...call })
    this.#unasked.delete(key)
    this.poke()
    return asked.promise
  }

  #changed(recorded: Step, found?: Pick<Step, "key" | "kind" | "name"> | "returned"): void {
    this.giveUp(flowChanged(this.job.name, recorded, found))
  }

  /** Counts what runs here, so that the run is not parked meanwhile. */
  async busy(step: Step, work: () => Promise<void>): Promise<void> {
    const asked = this.#asked.get(step.key)
    if (asked) asked.busy = true
    this.#running += 1
    try {
      await work()
    } catch (error) {
      this.fail(error)
    } finally {
      this.#running -= 1
      if (asked) asked.busy = false
      this.poke()
    }
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------

  /** One turn: does the next thing, or waits until there may be one. */
  async #advance(): Promise<{ readonly value: unknown } | undefined> {
    if (this.#end) return this.#settle(this.#end)
    if (this.job.signal.aborted && !this.#outcome) return this.#abort()
    if (this.ledger.due.length > 0) {
      if (!this.#handOut(this.ledger.due[0]!)) await this.#missing(this.ledger.due[0]!)
      return undefined
    }
    if (this.#replaying) return this.#endReplay()
    return this.#live()
  }

  /** What runs may still store what it did; the code itself goes no further. */
  async #abort(): Promise<undefined> {
    if (this.#running === 0 && this.ledger.open === 0) throw this.job.signal.reason
    return this.#wait()
  }

  #handOut(step: Step): boolean {
    const asked = this.#asked.get(step.key)
    if (!asked) return false
    this.ledger.due.shift()
    asked.step = step
    this.#open.delete(asked)
    if (step.error) asked.reject(this.record(thrown(step.error)))
    else asked.resolve(step)
    return true
  }

  async #endReplay(): Promise<undefined> {
    const [key] = this.#unasked
    if (key === undefined) this.#replaying = false
    else await this.#missing(this.ledger.steps.get(key)!)
  }

  /** Something is stored that the code has not asked for (yet). */
  async #missing(step: Step): Promise<void> {
    const end = this.#outcome
    if (end && "error" in end) return this.fail(end.error)
    if (end) return this.#changed(step, "returned")
    const patch = this.#fresh.find((asked) => asked.call.kind === "patched")
    if (patch) {
      // The run was past this place when the patch came: it goes the old way.
      this.#fresh = this.#fresh.filter((asked) => asked !== patch)
      this.#open.delete(patch)
      patch.resolve({ key: patch.key, kind: "patched", seq: 0, status: "done", value: false, attempts: 0 })
      return
    }
    // Without any call under way the code awaits something of its own, for as long as that takes.
    if (await this.#pokedWithin(this.#open.size > 0 ? patience : undefined)) return
    this.#changed(step, this.#fresh[0] && { key: this.#fresh[0].key, ...this.#fresh[0].call })
  }

  async #live(): Promise<{ readonly value: unknown } | undefined> {
    for (const asked of this.#fresh.splice(0)) this.#begin(asked)
    if (this.#stale) {
      this.#stale = false
      await this.ledger.refresh()
    }
    this.#look()
    if (this.#outcome) return this.#finish(this.#outcome)
    // It may have asked for more meanwhile.
    if (this.#fresh.length > 0 || this.ledger.due.length > 0) return undefined
    const waits = [...this.#open].filter((asked) => asked.step && asked.step.ord === undefined && !asked.busy)
    if (this.#running > 0 || this.ledger.open > 0 || waits.length === 0) return this.#wait(waits)
    return { value: this.#park(waits) }
  }

  #begin(asked: Asked): void {
    try {
      const { kind, name, child } = asked.call
      asked.step = this.ledger.newStep({ key: asked.key, kind, name, child })
      asked.call.start(asked.step)
    } catch (error) {
      this.giveUp(error)
    }
  }

  /** Ends the waits that are over, in the order in which the code began them. */
  #look(): void {
    const now = this.ledger.now()
    for (const { step, call, busy } of this.#open) {
      if (!step || busy || step.ord !== undefined) continue
      const over = step.until !== undefined && step.until <= now
      if (step.status !== "retrying") lookAt(this.ledger, step, over)
      else if (over) call.start(step)
    }
  }

  /** Pushes and other writes that nobody awaited still happen; steps that lost a race are left alone. */
  async #finish(outcome: Settled): Promise<{ readonly value: unknown } | undefined> {
    if (this.ledger.open > 0 && !this.job.signal.aborted) return this.#wait()
    return this.#settle(outcome)
  }

  #settle(outcome: Settled): { readonly value: unknown } {
    if ("value" in outcome) return outcome
    if (this.#isRecorded(outcome.error)) return { value: discard(outcome.error) }
    throw outcome.error
  }

  /** An attempt that failed for what is stored would fail again. */
  #isRecorded(error: unknown): boolean {
    for (let at = error; typeof at === "object" && at !== null && !isDirective(at); at = (at as Error).cause)
      if (this.#recorded.has(at)) return true
    return false
  }

  /** When it is stored, the settlement looks once more for what may have come meanwhile. */
  #park(waits: readonly Asked[]): Directive {
    const next = earliest(waits)
    return snooze(Math.min(longest, Math.max(0, next - this.ledger.now())))
  }

  async #wait(waits: readonly Asked[] = []): Promise<undefined> {
    const next = earliest(waits) - this.ledger.now()
    const listens = waits.some(({ call }) => call.kind !== "sleep")
    const soonest = Math.min(next, listens ? (this.#arrives() ? safetyNet : withoutNotices) : Infinity)
    const limit = soonest === Infinity ? undefined : Math.min(2_000_000_000, Math.max(1, Math.ceil(soonest)))
    if (await this.#pokedWithin(limit)) return
    // Whether the time has come is the database's to say.
    await this.ledger.refresh()
  }

  async #pokedWithin(ms: number | undefined): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      if (ms !== undefined) timer = setTimeout(() => resolve(false), ms)
    })
    const poked = await Promise.race([this.#poked.promise.then(() => true), late])
    clearTimeout(timer)
    if (poked) this.#poked = deferred()
    return poked
  }
}

const earliest = (waits: readonly Asked[]): number =>
  waits.reduce((least, { step }) => Math.min(least, step!.until ?? Infinity), Infinity)

const differs = (step: Step, { kind, name }: Call): boolean =>
  step.kind !== kind || (kind !== "step" && kind !== "transaction" && (step.name ?? undefined) !== name)
