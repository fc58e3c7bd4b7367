import { failure } from "../model/errors.ts"
import type { Executor } from "../model/executor.ts"
import type { Decision, Report, StopReason } from "../model/outcome.ts"
import { inlineHandler } from "./executors.ts"
import type { Home } from "./home.ts"
import type { Running } from "./running.ts"
import type { Settler } from "./settler.ts"

/** What the slots ask of their queue. */
export interface SlotRules {
  queue(): { readonly name: string; readonly executor: string }
  /** Jobs that may run at a time. */
  concurrency(): number
  /** Whether jobs may start now. */
  open(): boolean
  /** A job whose name has no handler here. */
  unhandled(attempt: Running): void
  /** A slot is free again. */
  freed(): void
}

/** Where claimed jobs wait for a slot, and run: everything between the claim and the report. */
export class Slots {
  readonly #home: Home
  readonly #executor: Executor
  readonly #settler: Settler
  readonly #rules: SlotRules
  /** Claimed, not started, in claim order: from `#next` on. */
  #buffer: Running[] = []
  #next = 0
  #waitingSince = 0
  #running = 0
  #dispatching = false

  constructor(home: Home, executor: Executor, settler: Settler, rules: SlotRules) {
    this.#home = home
    this.#executor = executor
    this.#settler = settler
    this.#rules = rules
  }

  /** Slots in use. */
  get running(): number {
    return this.#running
  }

  /** Claimed jobs that wait for a slot. */
  get waiting(): number {
    return this.#buffer.length - this.#next
  }

  /** How long the next one has waited, ms. */
  get waited(): number {
    return this.waiting === 0 ? 0 : performance.now() - this.#waitingSince
  }

  add(attempt: Running): void {
    if (this.waiting === 0) this.#waitingSince = performance.now()
    this.#buffer.push(attempt)
  }

  /** Hands back what has not started. Returns how many. */
  handBack(): number {
    const waiting = this.#buffer.slice(this.#next)
    this.#buffer = []
    this.#next = 0
    for (const attempt of waiting) if (!attempt.decided) this.#settler.release(attempt)
    return waiting.length
  }

  /** Starts what fits. A handler that ends at once comes back here, so this is a loop, not a recursion. */
  dispatch(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    const before = this.#next
    while (this.waiting > 0 && this.#free() > 0 && this.#rules.open()) {
      const attempt = this.#buffer[this.#next++]!
      if (attempt.handler?.batchSize === undefined) this.#start(attempt)
      else this.#startBatch(attempt, Math.min(attempt.handler.batchSize, this.#free()))
    }
    if (this.#next !== before) this.#waitingSince = performance.now()
    if (this.waiting === 0 || this.#next > 1_000) {
      this.#buffer = this.#buffer.slice(this.#next)
      this.#next = 0
    }
    this.#dispatching = false
  }

  #free(): number {
    return this.#rules.concurrency() - this.#running
  }

  #start(attempt: Running): void {
    if (!this.#startable(attempt)) return
    this.#running += 1
    if (this.#free() === 0) this.#home.events.full(this.#rules.queue().name)
    attempt.begun = true
    try {
      const loading = this.#executor.remote ? undefined : attempt.load()
      if (loading) {
        loading.then(
          () => this.#tryExecute(attempt),
          (error: unknown) => this.#ended(attempt, { ok: false, error }),
        )
      } else this.#execute(attempt)
    } catch (error) {
      this.#ended(attempt, { ok: false, error })
    }
  }

  #tryExecute(attempt: Running): void {
    try {
      this.#execute(attempt)
    } catch (error) {
      this.#ended(attempt, { ok: false, error })
    }
  }

  /** Settles at once what is not to be run at all. */
  #startable(attempt: Running): boolean {
    if (attempt.decided) return false
    if (attempt.cancelRequested || attempt.stopped === "cancel")
      this.#settler.settle(attempt, { state: "cancelled", charge: 0 })
    else if (attempt.stopped) this.#settler.release(attempt)
    else if (attempt.expired) this.#settler.settle(attempt, expired(attempt))
    else if (!attempt.handler && this.#executor.needsHandler !== false) this.#rules.unhandled(attempt)
    else return this.#fits(attempt)
    return false
  }

  /** Fails at once what this queue's executor cannot run as it is asked to. */
  #fits(attempt: Running): boolean {
    const { inline, limits } = this.#executor
    let error: Error | undefined
    if (inline === false && attempt.handler && !attempt.handler.module)
      error = inlineHandler(attempt.name, this.#rules.queue())
    else if (limits && attempt.timeout !== undefined && !limits.includes("time")) error = unlimited(attempt)
    if (error) this.#settler.conclude(attempt, { ok: false, error, final: true })
    return error === undefined
  }

  #execute(attempt: Running): void {
    // Its signal may have fired, and the job been judged, while its payload was being checked.
    if (attempt.decided) return this.#ended(attempt, { ok: false, error: attempt.stopError })
    this.#arm(attempt)
    attempt.times.start()
    const { around, starting } = this.#home.hooks
    if (starting) starting(attempt)
    this.#home.events.started(attempt)
    const report = around ? around(attempt, async () => this.#executor.run(attempt)) : this.#executor.run(attempt)
    if (report instanceof Promise) {
      report.then(
        (done) => this.#ended(attempt, done),
        (error: unknown) => this.#ended(attempt, { ok: false, error }),
      )
    } else this.#ended(attempt, report)
  }

  /** Starts the time limit now, or when the executor says that the handler starts. */
  #arm(attempt: Running): void {
    if (attempt.timeout === undefined) return
    if (this.#executor.remote) attempt.onStarted = () => this.#limit(attempt)
    else this.#limit(attempt)
  }

  #limit(attempt: Running): void {
    attempt.arm(() => {
      const text = `Job ${attempt.id} ("${attempt.name}") was over its time limit of ${attempt.timeout} ms.`
      this.stop(attempt, "timeout", failure("MILLRACE_TIMEOUT", text))
    })
  }

  /** Starts one call of a batch handler with this job and those of the same handler that wait right behind it. */
  #startBatch(first: Running, most: number): void {
    const batch = this.#startable(first) ? [first] : []
    while (batch.length < most && this.#buffer[this.#next]?.handler === first.handler) {
      const attempt = this.#buffer[this.#next++]!
      if (this.#startable(attempt)) batch.push(attempt)
    }
    if (batch.length > 0) void this.#runBatch(batch)
  }

  async #runBatch(batch: readonly Running[]): Promise<void> {
    this.#running += batch.length
    const loaded: Running[] = []
    for (const attempt of batch) attempt.begun = true
    for (const attempt of batch) {
      try {
        if (!this.#executor.remote) await attempt.load()
        loaded.push(attempt)
      } catch (error) {
        this.#ended(attempt, { ok: false, error })
      }
    }
    if (loaded.length === 0) return
    for (const attempt of loaded) {
      attempt.times.start()
      this.#arm(attempt)
    }
    const reports = await this.#batchReports(loaded)
    loaded.forEach((attempt, index) => this.#ended(attempt, reports[index]!))
  }

  async #batchReports(batch: readonly Running[]): Promise<readonly Report[]> {
    const failed = (error: unknown): Report => ({ ok: false, error })
    const { around } = this.#home.hooks
    const alone = async (attempt: Running): Promise<Report> => this.#executor.run(attempt)
    try {
      if (!this.#executor.runBatch) return await Promise.all(batch.map((attempt) => alone(attempt).catch(failed)))
      if (!around) return await this.#executor.runBatch(batch)
      // One call for all: each job's `around` wraps its own share of it.
      const together = this.#executor.runBatch(batch)
      return await Promise.all(batch.map((attempt, index) => around(attempt, async () => (await together)[index]!)))
    } catch (error) {
      return batch.map(() => failed(error))
    }
  }

  /** The handler is back: its slot is free, and its report counts unless the attempt was judged without it. */
  #ended(attempt: Running, report: Report): void {
    this.#running -= 1
    if (!attempt.decided) this.#settler.conclude(attempt, report)
    this.dispatch()
    this.#rules.freed()
  }

  /**
   * Fires a job's signal. When the handler goes on past the grace period, the job is judged without it, and the executor
   * ends it hard where it can.
   */
  stop(attempt: Running, reason: StopReason, error: unknown): void {
    if (!attempt.stop(reason, error)) return
    attempt.after(this.#home.grace, () => this.#overdue(attempt, reason, error))
  }

  #overdue(attempt: Running, reason: StopReason, error: unknown): void {
    if (attempt.decided) return
    const hard = this.#executor.kill !== undefined
    const text = `job ${attempt.id} ("${attempt.name}") goes on after its signal fired; ${hard ? "it is ended hard" : "its outcome is settled without it"}`
    this.#home.context.log.warn(text, { code: "MILLRACE_HANDLER_STUCK", reason })
    this.#settler.conclude(attempt, { ok: false, error })
    this.kill(attempt)
  }

  /** Ends a job hard that was judged already, where the executor can. */
  kill(attempt: Running): void {
    try {
      this.#executor.kill?.(attempt)
    } catch (error) {
      this.#home.context.log.error(`job ${attempt.id} could not be ended hard`, { error: String(error) })
    }
  }
}

const unlimited = (attempt: Running) =>
  failure(
    "MILLRACE_LIMIT_REFUSED",
    `Job ${attempt.id} ("${attempt.name}") has a time limit, which the executor of its queue "${attempt.queue}" cannot honour. ` +
      "Push it without `timeout`, or to another queue.",
  )

const expired = (attempt: Running): Decision => ({
  state: "cancelled",
  charge: 0,
  error: {
    attempt: attempt.attempt,
    name: "ExpiredError",
    code: "MILLRACE_EXPIRED",
    message: "not started before its expiry",
  },
})
