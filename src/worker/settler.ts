import type { Transaction } from "../model/database.ts"
import { describe } from "../lib/error.ts"
import { isDirective, type Decision, type Report } from "../model/outcome.ts"
import type { Ended } from "../model/plugin.ts"
import type { CycleSummary } from "../postgres/jobs.ts"
import type { Held } from "./held.ts"
import type { Home } from "./home.ts"
import type { LogKeeper } from "./log-keeper.ts"
import type { Running } from "./running.ts"
import { SettleLane } from "./settle-lane.ts"
import { accepted, Settlements, type Unsettled } from "./settlements.ts"
import { completeIn, leaseLost } from "./transaction.ts"

export interface SettlerEvents {
  /** There is something to send. */
  added(): void
  /** A job was put off for so long, ms. */
  dueIn(ms: number): void
  /** A claim has ended, and not with a call of the queue. */
  freed(): void
  /** The queue's circuit breaker has paused it. */
  tripped(): void
}

/**
 * From a handler's report to a confirmed outcome: lets the hooks see it, has it decided, and sends it on its way, with
 * the next call or, when something must be committed with it, on a lane of its own.
 */
export class Settler {
  /** Outcomes for the next call. */
  readonly settlements = new Settlements()
  readonly #home: Home
  readonly #held: Held
  readonly #logs: LogKeeper
  readonly #lane: SettleLane
  readonly #events: SettlerEvents
  #checking = 0

  constructor(home: Home, queue: string, held: Held, logs: LogKeeper, events: SettlerEvents) {
    this.#home = home
    this.#held = held
    this.#logs = logs
    this.#events = events
    this.#lane = new SettleLane({
      home,
      queue,
      confirmed: (batch, summary) => {
        this.confirmed(batch, summary)
        this.#events.freed()
      },
      refused: ({ attempt }, error) => this.settle(attempt, attempt.decide({ ok: false, error })),
    })
  }

  abandon(): void {
    this.#lane.abandon()
  }

  /** Results being checked, and transactions under way. */
  get busy(): boolean {
    return this.#checking > 0
  }

  /** A handler is back, or was given up: its attempt ends here. */
  conclude(attempt: Running, given: Report): void {
    attempt.decided = true
    attempt.times.end()
    attempt.disarm()
    if (attempt.completed) return this.#alreadyCommitted(attempt, given)
    const { finished } = this.#home.hooks
    const report = finished ? finished(attempt, given) : given
    if (report.ok && !report.checked && attempt.definition?.resultSchema && !isDirective(report.value))
      return this.#checkResult(attempt, report.value)
    this.settle(attempt, attempt.decide(report))
  }

  #alreadyCommitted(attempt: Running, given: Report): void {
    if (!given.ok) {
      this.#home.context.log.warn(
        `job ${attempt.id} ("${attempt.name}") threw after its transaction was committed; it stays succeeded`,
        {
          error: describe(given.error),
        },
      )
    }
    void this.#forget(attempt)
  }

  #checkResult(attempt: Running, value: unknown): void {
    this.#checking += 1
    void attempt
      .check(value)
      .then(
        (checked): Report => ({ ok: true, value: checked }),
        (error: unknown): Report => ({ ok: false, error }),
      )
      .then((report) => this.settle(attempt, attempt.decide(report)))
      .finally(() => {
        this.#checking -= 1
        this.#held.check()
      })
  }

  /** Sends a decision on its way. */
  settle(attempt: Running, decision: Decision): void {
    attempt.decided = true
    attempt.disarm()
    if (decision.state === "failed") {
      this.#home.context.log.warn(`job ${attempt.id} ("${attempt.name}") failed for good`, {
        error: decision.error?.message,
        attempt: attempt.attempt,
      })
    }
    const one = { attempt, settlement: attempt.settlement(decision) }
    const saved = this.#logs.save(attempt)
    // What it wrote is stored first: once a claim is settled, nothing more can be written for it.
    if (saved) void saved.then(() => this.#send(one, decision))
    else this.#send(one, decision)
  }

  #send(one: Unsettled, decision: Decision): void {
    if (this.#needsLane(one.attempt, decision)) this.#lane.add(one)
    else {
      this.settlements.add(one)
      this.#events.added()
    }
  }

  /** Hands a claim back as if it had never been made. */
  release(attempt: Running): void {
    this.settle(attempt, { state: "pending", charge: 0 })
  }

  #needsLane(attempt: Running, { state, error }: Decision): boolean {
    if (state === "succeeded" && attempt.pushes.length > 0) return true
    return this.#home.hooks.selects?.({ job: attempt, state, error, times: attempt.times }) ?? false
  }

  /** The database has answered: these outcomes are recorded, or were not this worker's to record any more. */
  confirmed(batch: readonly Unsettled[], summary: CycleSummary): void {
    const { context, followed } = this.#home
    const { notices, log } = context
    for (const { attempt, settlement } of batch) {
      this.#held.remove(attempt)
      followed.tell(attempt.id)
      if (settlement.delayMs !== undefined) this.#events.dueIn(settlement.delayMs)
    }
    for (const [id] of summary.stale ?? [])
      log.debug(`job ${id}: its claim was not valid any more, its outcome changed nothing`)
    for (const about of summary.awaited ?? []) notices.send({ kind: "done", about })
    if (summary.tripped) this.#events.tripped()
    const { saved } = this.#home.hooks
    if (batch.length > 0) {
      if (saved) saved(accepted(batch, summary))
      this.#home.events.ended(() => accepted(batch, summary))
    }
    this.#held.check()
  }

  /** The handler's own writes and its completion, in one transaction. */
  async complete(attempt: Running, run: (tx: Transaction) => unknown, checked: boolean): Promise<unknown> {
    if (attempt.decided || attempt.completed) throw leaseLost(attempt)
    this.#checking += 1
    try {
      const saved = async (tx: Transaction) => {
        const returned = await run(tx)
        await this.#logs.save(attempt)
        return returned
      }
      const { value, awaited } = await completeIn(this.#home, attempt, saved, checked)
      attempt.completed = true
      this.#tellCompleted(attempt, awaited)
      return value
    } finally {
      this.#checking -= 1
    }
  }

  #tellCompleted(attempt: Running, awaited: readonly string[]): void {
    const { context, followed, hooks } = this.#home
    followed.tell(attempt.id)
    const ended: Ended = { job: attempt, state: "succeeded", times: attempt.times }
    hooks.saved?.([ended])
    this.#home.events.ended(() => [ended])
    for (const about of awaited) context.notices.send({ kind: "done", about })
    for (const job of attempt.pushes) context.notices.send({ kind: job.later ? "later" : "ready", about: job.queue })
    this.#events.freed()
  }

  /** It was settled with its transaction; what it wrote afterwards is still its own. */
  async #forget(attempt: Running): Promise<void> {
    await this.#logs.save(attempt)
    this.#held.remove(attempt)
    this.#held.check()
  }
}
