import { randomUUID } from "node:crypto"
import type { Context } from "../client/context.ts"
import { backoffDelay } from "../lib/backoff.ts"
import { abortableSleep } from "../lib/signal.ts"
import { failure } from "../model/errors.ts"
import type { Executor } from "../model/executor.ts"
import type { Handler } from "../model/definition.ts"
import type { Transaction } from "../model/database.ts"
import { isDirective, type Decision, type Report, type StopReason } from "../model/outcome.ts"
import type { QueueRecord } from "../model/queue.ts"
import {
  cycle,
  namesHandledElsewhere,
  noFloors,
  promote,
  saveProgress,
  type ClaimedRow,
  type CycleSummary,
  type Floors,
} from "../postgres/jobs.ts"
import { verdict } from "../postgres/sqlstate.ts"
import { ClaimAhead } from "./claim-ahead.ts"
import type { Hooks } from "./hooks.ts"
import { Running, type Host } from "./running.ts"
import { ScanFloors } from "./scan-floors.ts"
import { SettleLane } from "./settle-lane.ts"
import { Settlements, stripped, type Unsettled } from "./settlements.ts"
import { completeIn, leaseLost } from "./transaction.ts"

/*
 * One queue on one worker: how many jobs to ask for, where they run, and how their ends travel back.
 *
 * Everything turns around one call, `cycle`, that settles what has finished and claims what comes next. While a call is
 * in flight, outcomes gather and slots free up; its reply starts the next one. So batches form by themselves under load,
 * nobody waits when idle, and no polling interval is in the path. With much to do, two calls are in flight.
 */

/** What a runner needs to know of its worker. */
export interface Home {
  readonly context: Context
  readonly hooks: Hooks
  /** How long a handler may go on after its signal fired, ms. */
  readonly grace: number
  readonly id: string
  incarnation(): string
  handlerOf(name: string): Handler | undefined
  /** A reply said that this incarnation has lost its lease. */
  leaseLost(incarnation: string): void
  /** A reply said that the queue's row is another one than known. */
  queueChanged(): void
  /** Makes what the database said was missing. */
  repair(error: unknown): Promise<void>
  /** A reply was lost: claims may have been made that nobody knows of. */
  reconcileSoon(): void
}

const mostClaims = 1_000
const mostSettlements = 2_000
const worthASecondCall = 100
const promoteBatch = 500
const hoardLimit = 1_000
const progressEvery = 200

const retries = { initial: 50, factor: 2, max: 5_000, jitter: "full" } as const

export class QueueRunner {
  readonly #home: Home
  readonly #executor: Executor
  readonly #host: Host
  readonly #settlements = new Settlements()
  readonly #lane: SettleLane
  readonly #floors = new ScanFloors()
  #queue: QueueRecord
  #ahead: ClaimAhead

  /** Every claim of this queue that is not settled for certain, by job id. */
  readonly #held = new Map<string, Running>()
  /** Claimed, not started, in claim order: from `#next` on. */
  #buffer: Running[] = []
  #next = 0
  #bufferedAt = 0
  /** Slots in use. */
  #running = 0
  /** Names that this worker has no handler for, but others have. */
  readonly #except = new Set<string>()
  readonly #warned = new Set<string>()

  /** Calls in flight, by the token of the claims that they may make. */
  readonly #calls = new Map<string, number>()
  #failures = 0
  #pausedUntil = 0
  /** There may be ready jobs that nobody has told of. */
  #hungry = true
  #wakes = 0
  #accepting = true
  #dispatching = false
  #pumpQueued = false

  #pollTimer: NodeJS.Timeout | undefined
  #pumpTimer: NodeJS.Timeout | undefined
  #dueTimer: NodeJS.Timeout | undefined
  #fullTimer: NodeJS.Timeout | undefined
  #promoting: Promise<void> | undefined
  #promoteAgain = false
  readonly #progress = new Map<string, { token: string; value: string }>()
  #progressTimer: NodeJS.Timeout | undefined
  #drained: (() => void)[] = []
  /** Batch calls, result checks and questions that are under way. */
  #busy = 0

  constructor(home: Home, queue: QueueRecord, executor: Executor) {
    this.#home = home
    this.#queue = queue
    this.#executor = executor
    this.#ahead = new ClaimAhead(queue.claimAhead)
    this.#host = {
      queue: queue.name,
      maxPayload: home.context.maxPayload,
      progress: (attempt, value) => this.#keepProgress(attempt, value),
      complete: (attempt, run) => this.#complete(attempt, run),
    }
    this.#lane = new SettleLane({
      context: home.context,
      queue: queue.name,
      hooks: home.hooks,
      worker: () => ({ incarnation: home.incarnation(), id: home.id }),
      confirmed: (batch, summary) => this.#confirmed(batch, summary),
      repair: (error) => home.repair(error),
      refused: (one, error) => this.#settle(one.attempt, one.attempt.decide({ ok: false, error })),
    })
  }

  get name(): string {
    return this.#queue.name
  }

  get queue(): QueueRecord {
    return this.#queue
  }

  get executor(): Executor {
    return this.#executor
  }

  /** Jobs that run now. */
  get running(): number {
    return this.#running
  }

  /** Claims that are not settled for certain. */
  get held(): ReadonlyMap<string, Running> {
    return this.#held
  }

  /** Whether a call that is in flight may be making claims under this token. */
  claiming(token: string): boolean {
    return this.#calls.has(token)
  }

  /** Tokens of the calls in flight. */
  get callTokens(): Iterable<string> {
    return this.#calls.keys()
  }

  get #buffered(): number {
    return this.#buffer.length - this.#next
  }

  get concurrency(): number {
    return this.#queue.concurrency ?? this.#executor.defaultConcurrency ?? 1
  }

  start(): void {
    this.#poll()
  }

  /** Takes over a changed row; what runs goes on undisturbed. */
  configure(queue: QueueRecord): void {
    const before = this.#queue
    this.#queue = queue
    if (queue.claimAhead !== before.claimAhead) this.#ahead = new ClaimAhead(queue.claimAhead)
    if (queue.paused) this.#handBackBuffer()
    this.wake()
  }

  /** There may be something to claim. */
  wake(): void {
    this.#wakes += 1
    this.#hungry = true
    this.#dispatch()
    this.#pump()
  }

  /** There may be something for later, sooner than known. */
  wakeLater(): void {
    this.#promote()
  }

  /** Claims nothing more and hands back what has not started. */
  stop(): void {
    this.#accepting = false
    for (const timer of [this.#pollTimer, this.#dueTimer, this.#fullTimer]) clearTimeout(timer)
    this.#handBackBuffer()
    this.#pumpSoon()
  }

  /** Resolves when every claim is settled or handed back. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.push(resolve)
      this.#checkDrained()
    })
  }

  /** Fires the signal of every job that runs; after the grace period they are judged without their handlers. */
  abort(reason: StopReason, error: unknown): void {
    for (const attempt of this.#held.values()) this.#stopAttempt(attempt, reason, error)
  }

  /** Hands back at once what still runs, uncharged. */
  handBack(error: unknown): void {
    for (const attempt of this.#held.values()) {
      if (attempt.decided) continue
      attempt.stop("shutdown", error)
      this.#conclude(attempt, { ok: false, error })
    }
  }

  /** The lease is lost: what this worker holds may be somebody else's already. */
  loseAll(): void {
    this.#handBackBuffer()
    for (const attempt of this.#held.values()) this.#lose(attempt)
  }

  /** A cancel was asked for. */
  cancel(id: string, reason: string | undefined): void {
    const attempt = this.#held.get(id)
    if (attempt)
      this.#stopAttempt(
        attempt,
        "cancel",
        failure("MILLRACE_CANCELLED", `Job ${id} was cancelled${reason ? `: ${reason}` : "."}`),
      )
  }

  /** Asks again whether others still have handlers for the names that are left to them. */
  async reviewExceptions(): Promise<void> {
    if (this.#except.size === 0) return
    const { db, names } = this.#home.context
    const elsewhere = await namesHandledElsewhere(db, names, this.#home.incarnation(), [...this.#except])
    for (const name of this.#except) if (!elsewhere.has(name)) this.#except.delete(name)
    this.wake()
  }

  // ---- claiming -----------------------------------------------------------------------------------------------------

  #poll(): void {
    clearTimeout(this.#pollTimer)
    this.#pollTimer = setTimeout(() => this.#poll(), this.#queue.pollInterval * (0.9 + Math.random() * 0.2))
    if (this.#buffered > 0 && performance.now() - this.#bufferedAt > hoardLimit) this.#handBackBuffer()
    // A pause that ends by itself changes no row: only looking tells.
    if (this.#queue.paused && this.#queue.resumeAt) this.#home.queueChanged()
    this.#promote()
    this.wake()
  }

  /** Jobs to ask for: free slots and some ahead, less what is held or asked for already. */
  #demand(): number {
    if (!this.#accepting || this.#queue.paused) return 0
    let asked = 0
    for (const limit of this.#calls.values()) asked += limit
    const wanted = this.concurrency + this.#ahead.target() - this.#running - this.#buffered - asked
    return Math.max(0, Math.min(wanted, mostClaims))
  }

  #pumpSoon(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    setImmediate(() => {
      this.#pumpQueued = false
      this.#pump()
    })
  }

  #pump(): void {
    const wait = this.#pausedUntil - performance.now()
    if (wait > 0) return this.#pumpIn(wait)
    while (this.#calls.size < 2) {
      const settling = this.#settlements.waiting
      const limit = this.#hungry ? this.#demand() : 0
      if (settling === 0 && limit === 0) return
      if (this.#calls.size === 1 && settling < worthASecondCall && limit < worthASecondCall) return
      void this.#call(limit)
    }
  }

  #pumpIn(ms: number): void {
    if (this.#pumpTimer) return
    this.#pumpTimer = setTimeout(() => {
      this.#pumpTimer = undefined
      this.#pump()
    }, ms)
  }

  async #call(limit: number): Promise<void> {
    const { db, names } = this.#home.context
    const batch = this.#settlements.take(mostSettlements)
    const token = randomUUID()
    const worker = this.#home.incarnation()
    const floors = limit > 0 ? this.#floors.next() : noFloors
    const wakes = this.#wakes
    this.#calls.set(token, limit)
    try {
      const { claimed, summary } = await cycle(db, names, {
        worker,
        workerId: this.#home.id,
        queue: this.name,
        settle: batch.map((one) => one.settlement),
        token,
        limit,
        except: this.#except.size > 0 ? [...this.#except] : null,
        floors,
      })
      this.#failures = 0
      this.#settlements.confirm(batch)
      this.#confirmed(batch, summary)
      this.#accept(claimed, token, worker)
      if (limit > 0) this.#learn(claimed, limit, summary, floors, wakes, worker)
    } catch (error) {
      await this.#callFailed(batch, error, limit)
    } finally {
      this.#calls.delete(token)
    }
    this.#dispatch()
    this.#checkDrained()
    this.#pump()
  }

  /** Takes claims in. Those that can no longer be started here are given back. */
  #accept(claimed: readonly ClaimedRow[], token: string, worker: string): void {
    if (claimed.length === 0) return
    const usable = this.#accepting && !this.#queue.paused && worker === this.#home.incarnation()
    if (this.#buffered === 0) this.#bufferedAt = performance.now()
    for (const row of claimed) {
      const attempt = new Running(this.#host, row, token, this.#home.handlerOf(row.name))
      this.#hold(attempt)
      if (usable) this.#buffer.push(attempt)
      else this.#settle(attempt, { state: "pending", charge: 0 })
    }
  }

  #learn(
    claimed: readonly ClaimedRow[],
    limit: number,
    summary: CycleSummary,
    floors: Floors,
    wakes: number,
    worker: string,
  ): void {
    if (!summary.alive && summary.paused !== null) return this.#home.leaseLost(worker)
    if (summary.revision !== this.#queue.revision || summary.paused !== this.#queue.paused) this.#home.queueChanged()
    this.#floors.learn(claimed, floors, summary.scanMs)
    if (claimed.length === limit) return
    if (floors.ranks.length > 0) {
      // Nothing behind the floors: look at everything as soon as that is affordable.
      this.#hungry = false
      clearTimeout(this.#fullTimer)
      this.#fullTimer = setTimeout(() => this.wake(), Math.max(1, this.#floors.untilFull()))
    } else this.#hungry = wakes !== this.#wakes
  }

  async #callFailed(batch: readonly Unsettled[], error: unknown, limit: number): Promise<void> {
    if (limit > 0) this.#home.reconcileSoon()
    const why = verdict(error)
    if (why === "data" && batch.length > 0) {
      this.#settlements.confirm(batch)
      await this.#isolate(batch, error)
      return
    }
    this.#settlements.putBack(batch)
    if (why === "partition") {
      await this.#home.repair(error).catch(() => {})
      if (this.#failures++ === 0) return
    } else this.#failures += 1
    const { log } = this.#home.context
    const wait = backoffDelay(retries, this.#failures) + 10
    const level = why === "fatal" ? "error" : this.#failures === 1 ? "warn" : "debug"
    log[level](`queue "${this.name}": the database could not be asked; trying again`, {
      error: String(error),
      inMs: Math.round(wait),
      unsaved: this.#settlements.size,
    })
    this.#pausedUntil = performance.now() + wait
  }

  /** Finds by halving what cannot be stored, and stores the finish without it. */
  async #isolate(batch: readonly Unsettled[], error: unknown): Promise<void> {
    const only = batch.length === 1 ? batch[0]! : undefined
    if (only) {
      this.#home.context.log.error(`job ${only.settlement.id}: its outcome could not be stored as it was`, {
        error: String(error),
      })
      only.settlement = stripped(only, String(error))
    }
    const halves = only ? [batch] : [batch.slice(0, batch.length >> 1), batch.slice(batch.length >> 1)]
    for (const half of halves) {
      try {
        const summary = await this.#settleOnly(half)
        this.#confirmed(half, summary)
      } catch (again) {
        if (verdict(again) === "data" && !only) await this.#isolate(half, again)
        else for (const one of half) this.#settlements.add(one)
      }
    }
  }

  async #settleOnly(batch: readonly Unsettled[]): Promise<CycleSummary> {
    const { db, names } = this.#home.context
    const settle = batch.map((one) => one.settlement)
    const call = {
      worker: this.#home.incarnation(),
      workerId: this.#home.id,
      queue: this.name,
      settle,
      token: randomUUID(),
      limit: 0,
      except: null,
      floors: noFloors,
    }
    return (await cycle(db, names, call)).summary
  }

  /** Makes due jobs ready, one pass at a time, and sets the timer for the next one. */
  #promote(): void {
    if (!this.#accepting) return
    if (this.#promoting) {
      this.#promoteAgain = true
      return
    }
    this.#promoting = this.#promotePass()
      .catch((error: unknown) =>
        this.#home.context.log.debug(`queue "${this.name}": due jobs could not be looked up`, { error: String(error) }),
      )
      .finally(() => {
        this.#promoting = undefined
        if (this.#promoteAgain) {
          this.#promoteAgain = false
          this.#promote()
        }
      })
  }

  async #promotePass(): Promise<void> {
    const { db, names, notices } = this.#home.context
    for (;;) {
      const { promoted, nextMs } = await promote(db, names, this.name, promoteBatch)
      if (promoted > 0) notices.send({ kind: "ready", about: this.name })
      if (promoted > 0) this.wake()
      if (promoted === promoteBatch) continue
      clearTimeout(this.#dueTimer)
      if (nextMs !== null && this.#accepting && nextMs < this.#queue.pollInterval * 2) {
        this.#dueTimer = setTimeout(() => this.#promote(), Math.max(1, Math.ceil(nextMs)))
      }
      return
    }
  }

  // ---- running ------------------------------------------------------------------------------------------------------

  /** Starts what fits into the free slots. A handler that ends at once comes back here, so this is a loop, not a recursion. */
  #dispatch(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    const before = this.#next
    while (this.#buffered > 0 && this.#running < this.concurrency && this.#accepting && !this.#queue.paused) {
      const attempt = this.#buffer[this.#next++]!
      const size = attempt.handler?.batchSize
      if (size === undefined) this.#start(attempt)
      else this.#startBatch(attempt, Math.min(size, this.concurrency - this.#running))
    }
    if (this.#next !== before) this.#bufferedAt = performance.now()
    if (this.#buffered === 0 || this.#next > 1_000) {
      this.#buffer = this.#buffer.slice(this.#next)
      this.#next = 0
    }
    this.#dispatching = false
  }

  #start(attempt: Running): void {
    if (!this.#startable(attempt)) return
    this.#running += 1
    try {
      const loading = attempt.load()
      if (loading)
        loading.then(
          () => this.#execute(attempt),
          (error: unknown) => this.#ended(attempt, { ok: false, error }),
        )
      else this.#execute(attempt)
    } catch (error) {
      this.#ended(attempt, { ok: false, error })
    }
  }

  /** Settles at once what is not to be run at all. */
  #startable(attempt: Running): boolean {
    if (attempt.decided) return false
    if (attempt.cancelRequested) this.#settle(attempt, { state: "cancelled", charge: 0 })
    else if (attempt.expired) this.#settle(attempt, expired(attempt))
    else if (!attempt.handler && this.#executor.needsHandler !== false) void this.#withoutHandler(attempt)
    else return true
    return false
  }

  #execute(attempt: Running): void {
    attempt.arm(() =>
      this.#stopAttempt(
        attempt,
        "timeout",
        failure(
          "MILLRACE_TIMEOUT",
          `Job ${attempt.id} ("${attempt.name}") was over its time limit of ${attempt.timeout} ms.`,
        ),
      ),
    )
    const { around } = this.#home.hooks
    const report = around ? around(attempt, async () => this.#executor.run(attempt)) : this.#executor.run(attempt)
    if (report instanceof Promise)
      report.then(
        (done) => this.#ended(attempt, done),
        (error: unknown) => this.#ended(attempt, { ok: false, error }),
      )
    else this.#ended(attempt, report)
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
    for (const attempt of batch) {
      try {
        await attempt.load()
        loaded.push(attempt)
      } catch (error) {
        this.#ended(attempt, { ok: false, error })
      }
    }
    if (loaded.length === 0) return
    for (const attempt of loaded)
      attempt.arm(() =>
        this.#stopAttempt(
          attempt,
          "timeout",
          failure("MILLRACE_TIMEOUT", `Job ${attempt.id} was over its time limit.`),
        ),
      )
    const run = this.#executor.runBatch?.bind(this.#executor)
    const reports: readonly Report[] = run
      ? await run(loaded).catch((error: unknown) => loaded.map(() => ({ ok: false, error })))
      : await Promise.all(loaded.map(async (attempt) => this.#executor.run(attempt)))
    loaded.forEach((attempt, index) => this.#ended(attempt, reports[index]!))
  }

  /** The handler is back: its slot is free, and its report counts unless the attempt was judged without it. */
  #ended(attempt: Running, report: Report): void {
    this.#running -= 1
    this.#ahead.finished()
    if (!attempt.decided) this.#conclude(attempt, report)
    this.#dispatch()
    this.#pumpSoon()
  }

  #stopAttempt(attempt: Running, reason: StopReason, error: unknown): void {
    if (!attempt.stop(reason, error)) return
    attempt.after(this.#home.grace, () => {
      if (attempt.decided) return
      this.#home.context.log.warn(
        `job ${attempt.id} ("${attempt.name}") goes on after its signal fired; its outcome is settled without it`,
        { code: "MILLRACE_HANDLER_STUCK", reason },
      )
      this.#conclude(attempt, { ok: false, error })
    })
  }

  #lose(attempt: Running): void {
    attempt.lost = true
    this.#stopAttempt(attempt, "lease", leaseLost(attempt))
  }

  #conclude(attempt: Running, given: Report): void {
    attempt.decided = true
    attempt.disarm()
    this.#progress.delete(attempt.id)
    if (attempt.completed) {
      if (!given.ok)
        this.#home.context.log.warn(
          `job ${attempt.id} ("${attempt.name}") threw after its transaction was committed; it stays succeeded`,
          { error: String(given.error) },
        )
      return this.#forget(attempt)
    }
    const report = this.#home.hooks.finished ? this.#home.hooks.finished(attempt, given) : given
    if (!report.ok || !attempt.definition?.resultSchema || isDirective(report.value))
      return this.#settle(attempt, attempt.decide(report))
    this.#busy += 1
    void attempt
      .check(report.value)
      .then(
        (value) => this.#settle(attempt, attempt.decide({ ok: true, value })),
        (error: unknown) => this.#settle(attempt, attempt.decide({ ok: false, error })),
      )
      .finally(() => {
        this.#busy -= 1
        this.#checkDrained()
      })
  }

  // ---- settling -----------------------------------------------------------------------------------------------------

  #settle(attempt: Running, decision: Decision): void {
    attempt.decided = true
    attempt.disarm()
    const one = { attempt, settlement: attempt.settlement(decision) }
    const { selects } = this.#home.hooks
    const slow =
      (decision.state === "succeeded" && attempt.pushes.length > 0) ||
      selects?.({ job: attempt, state: decision.state })
    if (decision.state === "failed") {
      this.#home.context.log.warn(`job ${attempt.id} ("${attempt.name}") failed for good`, {
        error: decision.error?.message,
        attempt: attempt.attempt,
      })
    }
    if (slow) this.#lane.add(one)
    else {
      this.#settlements.add(one)
      this.#pumpSoon()
    }
  }

  #confirmed(batch: readonly Unsettled[], summary: CycleSummary): void {
    for (const { attempt } of batch) this.#forget(attempt)
    const { notices, log } = this.#home.context
    for (const id of summary.stale ?? [])
      log.debug(`job ${id}: its claim was not valid any more, its outcome changed nothing`)
    for (const about of summary.awaited ?? []) notices.send({ kind: "done", about })
    if (this.#home.hooks.saved && batch.length > 0) this.#tellSaved(batch, summary)
    this.#checkDrained()
  }

  #tellSaved(batch: readonly Unsettled[], summary: CycleSummary): void {
    const stale = new Set(summary.stale)
    const cancelled = new Set(summary.cancelled)
    this.#home.hooks.saved!(
      batch
        .filter((one) => !stale.has(one.settlement.id))
        .map((one) => ({
          job: one.attempt,
          state: cancelled.has(one.settlement.id) ? ("cancelled" as const) : one.settlement.state,
        })),
    )
  }

  async #complete(attempt: Running, run: (tx: Transaction) => unknown): Promise<unknown> {
    if (attempt.decided || attempt.completed) throw leaseLost(attempt)
    this.#busy += 1
    try {
      const { value, summary } = await completeIn(
        this.#home.context,
        { incarnation: this.#home.incarnation(), id: this.#home.id },
        this.#home.hooks,
        attempt,
        run,
      )
      attempt.completed = true
      for (const about of summary?.awaited ?? []) this.#home.context.notices.send({ kind: "done", about })
      for (const job of attempt.pushes)
        this.#home.context.notices.send({ kind: job.later ? "later" : "ready", about: job.queue })
      return value
    } finally {
      this.#busy -= 1
    }
  }

  #hold(attempt: Running): void {
    const older = this.#held.get(attempt.id)
    // A newer claim of the same job means that the older one is not valid any more.
    if (older) this.#lose(older)
    this.#held.set(attempt.id, attempt)
  }

  #forget(attempt: Running): void {
    if (this.#held.get(attempt.id) === attempt) this.#held.delete(attempt.id)
    this.#checkDrained()
  }

  #handBackBuffer(): void {
    const buffer = this.#buffer.slice(this.#next)
    this.#buffer = []
    this.#next = 0
    for (const attempt of buffer) if (!attempt.decided) this.#settle(attempt, { state: "pending", charge: 0 })
    if (buffer.length > 0) this.#home.context.notices.send({ kind: "ready", about: this.name })
  }

  #checkDrained(): void {
    if (this.#drained.length === 0 || this.#held.size > 0 || this.#calls.size > 0 || this.#busy > 0) return
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  /** A name without a handler here: left to others who have one, else parked until somebody announces one. */
  async #withoutHandler(attempt: Running): Promise<void> {
    const { db, names, log } = this.#home.context
    const { name } = attempt
    let elsewhere = this.#except.has(name)
    for (let failures = 1; !elsewhere; failures++) {
      try {
        elsewhere = (await namesHandledElsewhere(db, names, this.#home.incarnation(), [name])).has(name)
        break
      } catch (error) {
        if (verdict(error) !== "retry") break
        await abortableSleep(backoffDelay(retries, failures))
      }
    }
    if (attempt.decided) return
    if (elsewhere) {
      this.#except.add(name)
      this.#settle(attempt, { state: "pending", charge: 0 })
      this.#home.context.notices.send({ kind: "ready", about: this.name })
      return
    }
    if (!this.#warned.has(name))
      log.warn(`no worker has a handler for "${name}": its jobs are parked until one is announced`, {
        queue: this.name,
        job: attempt.id,
      })
    this.#warned.add(name)
    this.#settle(attempt, { state: "blocked", charge: 0 })
  }

  // ---- progress -----------------------------------------------------------------------------------------------------

  #keepProgress(attempt: Running, value: string): void {
    this.#progress.set(attempt.id, { token: attempt.token, value })
    this.#progressTimer ??= setTimeout(() => void this.#saveProgress(), progressEvery)
  }

  /** Stores the newest progress of each job; a claim that is found invalid fires its signal. */
  async #saveProgress(): Promise<void> {
    const { db, names, log } = this.#home.context
    const entries = Array.from(this.#progress, ([id, one]) => ({ id, ...one }))
    this.#progress.clear()
    this.#progressTimer = undefined
    if (entries.length === 0) return
    try {
      const valid = await saveProgress(db, names, this.name, entries)
      for (const { id, token } of entries) {
        const attempt = this.#held.get(id)
        if (!valid.has(id) && attempt?.token === token && !attempt.decided) this.#lose(attempt)
      }
    } catch (error) {
      log.debug("progress could not be stored", { error: String(error) })
    }
  }
}

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
