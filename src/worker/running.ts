import { monotonic } from "../lib/clock.ts"
import { sanitizeJson } from "../lib/json.ts"
import type { AnyDefinition, Handler, MakeJob, Pushable } from "../model/definition.ts"
import type { Transaction } from "../model/database.ts"
import { failure, isMillraceError } from "../model/errors.ts"
import type { Attempt } from "../model/executor.ts"
import type { NewJob } from "../model/job.ts"
import type { JobApp } from "../model/job-app.ts"
import { jobLog, type JobLog, type LogLevel } from "../model/job-log.ts"
import { defaultBackoff, type PushOptions } from "../model/job-options.ts"
import { decide, type AttemptFacts, type Decision, type Report, type StopReason } from "../model/outcome.ts"
import { checkResult, loadPayload } from "../model/payload.ts"
import { packValue } from "../model/wire.ts"
import type { RemoteClock } from "../lib/remote-clock.ts"
import type { ClaimedRow, Settlement } from "../postgres/jobs.ts"
import { Times } from "./times.ts"

/** What an attempt needs from the runner of its queue. */
export interface Host {
  readonly queue: string
  prepare(definition: AnyDefinition, options: PushOptions | undefined): MakeJob
  readonly app: JobApp
  /** The database's. */
  readonly clock: RemoteClock
  /** The queue's own time limit, ms. */
  timeout(): number | undefined
  progress(attempt: Running, value: string): void
  log(attempt: Running, level: LogLevel, message: string, fields: object | undefined): void
  complete(attempt: Running, run: (tx: Transaction) => unknown, checked: boolean): Promise<unknown>
}

interface Rest {
  meta?: Record<string, unknown>
  tags?: string[]
  options: { backoff?: AttemptFacts["backoff"] } | null
  cancel?: { reason: string | null }
  expired?: true
}

/** Stands before the rest of a row that says not to start the job. */
const stopMark = "!"

const none: readonly NewJob[] = []
const maxError = 48_000

/** A claimed job on this worker, from the claim to its settlement; at the same time what its handler gets to see. */
export class Running implements Attempt {
  readonly token: string
  readonly handler: Handler | undefined
  readonly definition: AnyDefinition | undefined
  readonly times: Times
  /** Why its signal fired. */
  stopped: StopReason | undefined
  /** It has its slot. */
  begun = false
  /** Its outcome is decided: whatever the handler still does changes nothing. */
  decided = false
  /** Its outcome is committed already, by `transaction`. */
  completed = false
  payload: unknown
  /** What `started` does; set where the executor says when the time limit begins. */
  onStarted: (() => void) | undefined
  readonly #host: Host
  readonly #row: ClaimedRow
  #rest: Rest | null | undefined
  #replaced: string | undefined
  #controller: AbortController | undefined
  #stopError: unknown
  #meta: Record<string, unknown> | undefined
  #progress: string | undefined
  #log: JobLog | undefined
  /** Its schema refuses the stored payload. */
  #refused = false
  #deadline: number | undefined
  #pushes: NewJob[] | undefined
  #timers: NodeJS.Timeout[] | undefined

  constructor(host: Host, row: ClaimedRow, token: string, handler: Handler | undefined) {
    this.#host = host
    this.#row = row
    this.token = token
    this.handler = handler
    this.definition = handler?.definition
    this.times = new Times(host.clock, row.ready * 1_000)
  }

  get id(): string {
    return this.#row.id
  }
  get name(): string {
    return this.#row.name
  }
  get queue(): string {
    return this.#host.queue
  }
  get attempt(): number {
    return this.#row.attempts + 1
  }
  get maxAttempts(): number {
    return this.#row.max_attempts
  }
  get crashes(): number {
    return this.#row.crashes
  }
  get claims(): number {
    return this.#row.claims
  }
  get payloadText(): string {
    return this.#replaced ?? this.#row.payload ?? "null"
  }
  get metaText(): string | undefined {
    const meta = this.#details?.meta
    return meta ? JSON.stringify(meta) : undefined
  }
  get app(): JobApp {
    return this.#host.app
  }
  get tags(): readonly string[] {
    return this.#details?.tags ?? []
  }
  get meta(): Record<string, unknown> {
    if (this.#meta) return this.#meta
    const stored = this.#details?.meta
    return (this.#meta = stored ? structuredClone(stored) : {})
  }
  get expired(): boolean {
    return this.#isMarked && this.#details?.expired === true
  }
  /** Somebody asked for it to be cancelled before this claim. */
  get cancelRequested(): { reason: string | null } | undefined {
    return this.#isMarked ? this.#details?.cancel : undefined
  }
  get remaining(): number | undefined {
    return this.#deadline === undefined ? undefined : Math.max(0, this.#deadline - monotonic())
  }
  /** Jobs pushed by the handler, to be inserted with its success. */
  get pushes(): readonly NewJob[] {
    return this.#pushes ?? none
  }
  /** The shorter one of its own time limit and its queue's. */
  get timeout(): number | undefined {
    const queue = this.#host.timeout()
    const own = this.#row.timeout_ms ?? undefined
    return own === undefined || (queue !== undefined && queue < own) ? queue : own
  }

  get #isMarked(): boolean {
    return this.#row.rest?.startsWith(stopMark) === true
  }

  /** Parsed when first asked for: most handlers never ask. */
  get #details(): Rest | null {
    const { rest } = this.#row
    if (this.#rest === undefined)
      this.#rest = rest === null ? null : (JSON.parse(this.#isMarked ? rest.slice(1) : rest) as Rest)
    return this.#rest
  }

  /** Made when first asked for: most handlers never ask. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.stopped) this.#controller.abort(this.#stopError)
    }
    return this.#controller.signal
  }

  /** Fires the signal; the first reason stays. */
  stop(reason: StopReason, error: unknown): boolean {
    if (this.stopped || this.decided) return false
    this.stopped = reason
    this.#stopError = error
    this.#controller?.abort(error)
    return true
  }

  get stopError(): unknown {
    return this.#stopError
  }

  /** Starts the time limit. */
  arm(onTimeout: () => void): void {
    const limit = this.timeout
    if (limit === undefined) return
    this.#deadline = monotonic() + limit
    this.after(limit, onTimeout)
  }

  started(): void {
    this.times.start()
    this.onStarted?.()
    this.onStarted = undefined
  }

  /** A timer that ends with the attempt. */
  after(ms: number, run: () => void): void {
    ;(this.#timers ??= []).push(setTimeout(run, ms))
  }

  disarm(): void {
    if (!this.#timers) return
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers = undefined
  }

  progress(value: unknown): void {
    if (this.decided) return
    this.#progress = sanitizeJson(value, 65_536)
    this.#host.progress(this, this.#progress)
  }

  /** Made when first asked for, like the signal. */
  get log(): JobLog {
    return (this.#log ??= jobLog((level, message, fields) => {
      if (!this.decided) this.#host.log(this, level, message, fields)
    }))
  }

  async push<Input>(definition: Pushable<Input, unknown>, payload: Input, options?: Omit<PushOptions, "tx" | "wake">) {
    const job = await this.#host.prepare(definition, options)(payload)
    this.adopt(job)
    return { id: job.id }
  }

  /** Another payload for this attempt; the stored one stays. */
  replacePayload(payload: unknown): void {
    this.payload = payload
    this.#replaced = sanitizeJson(payload, 100_000_000)
  }

  adopt(job: NewJob): void {
    if (this.decided || this.completed)
      throw failure("MILLRACE_LEASE_LOST", `Job ${this.id} has ended; a job pushed now would not belong to it.`)
    ;(this.#pushes ??= []).push(job)
  }

  transaction(run: (tx: Transaction) => unknown, checked = false): Promise<never> {
    return this.#host.complete(this, run, checked) as Promise<never>
  }

  /** Reads the stored payload, for its handler. */
  load(): Promise<void> | void {
    try {
      const loaded = loadPayload(this.definition, this.#row.payload)
      if (loaded instanceof Promise) return this.#loadLater(loaded)
      this.payload = loaded
    } catch (error) {
      throw this.#refuse(error)
    }
    return undefined
  }

  async #loadLater(loading: Promise<unknown>): Promise<void> {
    this.payload = await loading.catch((error: unknown) => {
      throw this.#refuse(error)
    })
  }

  #refuse(error: unknown): unknown {
    if (isMillraceError(error, "MILLRACE_BAD_PAYLOAD")) this.#refused = true
    return error
  }

  /** Puts the result through the definition's schema. */
  check(value: unknown): Promise<unknown> {
    return checkResult(this.definition!, value)
  }

  /** Decides how this attempt ends. */
  decide(report: Report): Decision {
    const { onError } = this.definition ?? {}
    const facts: AttemptFacts = {
      attempt: this.attempt,
      maxAttempts: this.maxAttempts,
      backoff: this.#details?.options?.backoff ?? this.definition?.defaults.backoff ?? defaultBackoff,
      stopped: this.stopped,
      onError: onError && ((error) => onError(error, this)),
    }
    // A payload that its schema refuses will be refused again.
    if (!report.ok && this.#refused) {
      return decide({ ...facts, maxAttempts: 0, onError: undefined }, report)
    }
    return decide(facts, report)
  }

  /** The decision as it travels: everything in it can be stored. */
  settlement(decision: Decision): Settlement {
    const { id, token } = this
    const { state, charge } = decision
    const result = state === "succeeded" ? (packValue(decision.value) ?? undefined) : undefined
    const meta = this.#changedMeta()
    const progress = this.#progress
    if (state === "succeeded" && result === undefined && meta === undefined && progress === undefined) {
      return { id, token, state, charge }
    }
    const error = decision.error && sanitizeJson(decision.error, maxError)
    const blockedBy = state === "blocked" ? "handler" : undefined
    return { id, token, state, charge, result, error, meta, progress, delayMs: decision.delayMs, blockedBy }
  }

  #changedMeta(): string | undefined {
    if (this.#meta === undefined) return undefined
    const text = sanitizeJson(this.#meta, 65_536)
    return text === JSON.stringify(this.#details?.meta ?? {}) ? undefined : text
  }
}
