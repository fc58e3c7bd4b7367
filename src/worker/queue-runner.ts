import { prepare } from "../client/pushing.ts"
import { failure } from "../model/errors.ts"
import type { Executor } from "../model/executor.ts"
import type { QueueLoad } from "../model/health.ts"
import type { StopReason } from "../model/outcome.ts"
import { hasLimits } from "../model/limits.ts"
import type { QueueRecord } from "../model/queue.ts"
import type { ClaimedRow, CycleSummary } from "../postgres/jobs.ts"
import { Calls, type Asked } from "./calls.ts"
import { ClaimAhead } from "./claim-ahead.ts"
import { ForeignNames } from "./foreign-names.ts"
import { Held } from "./held.ts"
import type { Home, Identity } from "./home.ts"
import { LogKeeper } from "./log-keeper.ts"
import { ProgressKeeper } from "./progress.ts"
import { Promoter } from "./promoter.ts"
import { Running, type Host } from "./running.ts"
import { Settler } from "./settler.ts"
import { Slots } from "./slots.ts"
import { leaseLost } from "./transaction.ts"

/*
 * One queue on one worker. `Calls` asks the database for jobs, `Slots` runs them, `Settler` brings their ends back;
 * `Held` knows every claim in between. This file ties them together.
 */

/** A claimed job that has waited longer for a slot goes back to the queue, ms. */
const hoardLimit = 1_000

export class QueueRunner {
  readonly executor: Executor
  readonly held: Held
  readonly #home: Home
  readonly #host: Host
  readonly #settler: Settler
  readonly #logs: LogKeeper
  readonly #slots: Slots
  readonly #calls: Calls
  readonly #promoter: Promoter
  readonly #foreign: ForeignNames
  #queue: QueueRecord
  #ahead: ClaimAhead
  /** Cancels that came while a call was in flight: they may be about the claims that it makes. */
  readonly #asked = new Map<string, string | undefined>()
  /** A job here that was lost with its worker twice. Only one at a time: it may be the one that ends workers. */
  #suspect: Running | undefined
  #accepting = true
  #pollTimer: NodeJS.Timeout | undefined

  constructor(home: Home, queue: QueueRecord, executor: Executor) {
    const { name } = queue
    this.executor = executor
    this.#home = home
    this.#queue = queue
    this.#ahead = new ClaimAhead(queue.claimAhead)
    this.held = new Held(() => this.#calls.busy || this.#settler.busy)
    this.#logs = new LogKeeper(home, name, (attempt) => this.#lose(attempt))
    this.#settler = new Settler(home, name, this.held, this.#logs, {
      added: () => this.#calls.pumpSoon(),
      dueIn: (ms) => this.#promoter.within(ms),
      freed: () => this.#calls.freed(),
      tripped: () => this.#tripped(),
    })
    this.#foreign = new ForeignNames(home, name, this.#settler)
    this.#promoter = new Promoter(home, name, () => this.wake())
    this.#slots = new Slots(home, executor, this.#settler, {
      queue: () => this.#queue,
      concurrency: () => this.concurrency,
      open: () => this.#open,
      unhandled: (attempt) => void this.#foreign.handle(attempt),
      freed: () => {
        this.#ahead.finished()
        this.#calls.pumpSoon()
      },
    })
    this.#calls = new Calls(home, name, this.#settler, {
      wanted: () => (this.#open ? this.concurrency + (hasLimits(this.#queue) ? 0 : this.#ahead.target()) : 0),
      suspect: () => this.#suspect === undefined,
      inHand: () => this.#slots.running + this.#slots.waiting,
      except: () => this.#foreign.skipped,
      accept: (rows, token, worker, call) => this.#accept(rows, token, worker, call),
      told: (summary) => this.#told(summary),
      passOn: () => home.context.notices.send({ kind: "ready", about: name }),
      after: () => {
        if (!this.#calls.busy) this.#asked.clear()
        this.#review()
        this.#slots.dispatch()
        this.held.check()
      },
    })
    const progress = new ProgressKeeper(home, name, this.held, (attempt) => this.#lose(attempt))
    this.#host = {
      queue: name,
      prepare: (definition, options) => prepare(home.context, definition, options),
      app: home.app,
      clock: home.clock,
      timeout: () => this.#queue.timeout,
      progress: (attempt, value) => progress.keep(attempt, value),
      log: (attempt, ...line) => this.#logs.keep(attempt, ...line),
      complete: (attempt, run, checked) => this.#settler.complete(attempt, run, checked),
    }
  }

  get name(): string {
    return this.#queue.name
  }

  get queue(): QueueRecord {
    return this.#queue
  }

  /** Jobs that run now. */
  get running(): number {
    return this.#slots.running
  }

  /** What runs now. */
  get load(): QueueLoad {
    return { queue: this.name, running: this.running, slots: this.concurrency, waiting: this.#slots.waiting }
  }

  get concurrency(): number {
    return this.#queue.concurrency ?? this.executor.defaultConcurrency ?? 1
  }

  /** Whether jobs may be claimed and started. */
  get #open(): boolean {
    return this.#accepting && !this.#queue.paused
  }

  /** Tokens of the claims that calls in flight may be making. */
  get claiming(): Iterable<string> {
    return this.#calls.tokens
  }

  isClaiming(token: string): boolean {
    return this.#calls.claiming(token)
  }

  start(): void {
    this.#poll()
  }

  #poll(): void {
    this.#pollTimer = setTimeout(() => this.#poll(), this.#queue.pollInterval * (0.9 + Math.random() * 0.2))
    if (this.#slots.waited > hoardLimit) this.#handBackWaiting()
    // A pause that ends by itself changes no row: only looking tells.
    if (this.#queue.paused && this.#queue.resumeAt) this.#home.queueChanged()
    this.#promoter.look()
    this.wake()
  }

  /** Takes over a changed row; what runs goes on undisturbed. */
  configure(queue: QueueRecord): void {
    const before = this.#queue
    this.#queue = queue
    if (queue.claimAhead !== before.claimAhead) this.#ahead = new ClaimAhead(queue.claimAhead)
    if (queue.paused) this.#handBackWaiting()
    if (queue.pollInterval !== before.pollInterval) {
      clearTimeout(this.#pollTimer)
      this.#poll()
    } else this.wake()
  }

  /** There may be something to claim. */
  wake(): void {
    this.#slots.dispatch()
    this.#calls.wake()
  }

  /** There may be something for later, sooner than known. */
  wakeLater(): void {
    this.#promoter.look()
  }

  /** Some names may be nobody's any more. */
  async review(): Promise<void> {
    if (await this.#foreign.review()) this.wake()
  }

  /** Claims nothing more and hands back what has not started. */
  stop(): void {
    this.#accepting = false
    clearTimeout(this.#pollTimer)
    this.#promoter.stop()
    this.#handBackWaiting()
    this.#calls.stop()
  }

  /** Gives up what is not saved: the database cannot be reached. */
  abandon(): void {
    this.#logs.abandon()
    this.#calls.abandon()
    this.#settler.abandon()
  }

  /** Resolves when every claim is settled or handed back. */
  drained(): Promise<void> {
    return this.held.drained()
  }

  /** Fires the signal of every job; after the grace period they are judged without their handlers. */
  abort(reason: StopReason, error: unknown): void {
    for (const attempt of this.held.all()) this.#slots.stop(attempt, reason, error)
  }

  /** Hands back at once what still runs, uncharged. */
  handBack(error: unknown): void {
    for (const attempt of this.held.all()) {
      if (attempt.decided) continue
      attempt.stop("shutdown", error)
      this.#settler.conclude(attempt, { ok: false, error })
      this.#slots.kill(attempt)
    }
  }

  /** The lease is lost: what this worker holds may be somebody else's already. */
  loseAll(): void {
    this.#slots.handBack()
    for (const attempt of this.held.all()) this.#lose(attempt)
  }

  #lose(attempt: Running): void {
    this.#slots.stop(attempt, "lease", leaseLost(attempt))
  }

  /**
   * A notice tells of a cancel. What has not started never does; for what runs, whether it is known why has yet to be
   * seen: true.
   */
  heardCancel(id: string): boolean {
    const attempt = this.held.get(id)
    if (attempt?.begun) return true
    this.cancel(id)
    return false
  }

  /** A cancel was asked for. */
  cancel(id: string, reason?: string): void {
    const attempt = this.held.get(id)
    if (!attempt && this.#calls.busy) this.#asked.set(id, reason)
    const text = `Job ${id} was cancelled${reason ? `: ${reason}` : "."}`
    if (attempt) this.#slots.stop(attempt, "cancel", failure("MILLRACE_CANCELLED", text))
  }

  /** Takes claims in. Those that can no longer be started here are given back. */
  #accept(rows: readonly ClaimedRow[], token: string, claimedAs: Identity, call: Asked): void {
    const usable = this.#open && claimedAs.incarnation === this.#home.identity().incarnation
    const { claimed } = this.#home.hooks
    const jobs: Running[] = []
    for (const row of rows) {
      const attempt = new Running(this.#host, row, token, this.#home.handlerOf(row.name))
      if (claimed) jobs.push(attempt)
      const older = this.held.add(attempt)
      if (older) this.#lose(older)
      if (this.#asked.has(row.id)) this.cancel(row.id, this.#asked.get(row.id))
      if (row.crashes > 1) this.#suspect = attempt
      if (usable) this.#slots.add(attempt)
      else this.#settler.release(attempt)
    }
    if (claimed && call.asked > 0) claimed({ ...call, worker: claimedAs.id, queue: this.name, jobs })
  }

  /** The suspect has ended: the next one may be claimed. */
  #review(): void {
    if (!this.#suspect || this.held.get(this.#suspect.id) === this.#suspect) return
    this.#suspect = undefined
    this.#calls.wake()
  }

  #told({ revision, paused }: CycleSummary): void {
    if (revision !== this.#queue.revision || paused !== this.#queue.paused) this.#home.queueChanged()
  }

  #tripped(): void {
    const { notices, hub, log } = this.#home.context
    log.warn(`queue "${this.name}" was paused by its circuit breaker: too many attempts failed`)
    notices.send({ kind: "queue", about: this.name })
    hub.emit("queue.paused", { queue: this.name }, { cluster: true })
    this.#home.queueChanged()
  }

  #handBackWaiting(): void {
    if (this.#slots.handBack() > 0) this.#home.context.notices.send({ kind: "ready", about: this.name })
  }
}
