import { monotonic } from "../lib/clock.ts"
import { encodeJson, sanitizeJson } from "../lib/json.ts"
import { preparePush, refused, type AnyDefinition, type Handler, type Pushable } from "../model/definition.ts"
import type { Transaction } from "../model/database.ts"
import { failure } from "../model/errors.ts"
import type { Attempt } from "../model/executor.ts"
import type { NewJob } from "../model/job.ts"
import { jobLog, type JobLog, type LogLevel } from "../model/job-log.ts"
import { defaultBackoff, type PushOptions } from "../model/job-options.ts"
import { decide, type AttemptFacts, type Decision, type Report, type StopReason } from "../model/outcome.ts"
import type { ClaimedRow, Settlement } from "../postgres/jobs.ts"

/** What an attempt needs from the runner of its queue. */
export interface Host {
  readonly queue: string
  readonly maxPayload: number
  progress(attempt: Running, value: string): void
  log(attempt: Running, level: LogLevel, message: string, fields: object | undefined): void
  complete(attempt: Running, run: (tx: Transaction) => unknown): Promise<unknown>
}

interface Rest {
  meta: Record<string, unknown> | null
  tags: string[] | null
  options: { backoff?: AttemptFacts["backoff"] } | null
  cancel: { reason: string | null } | null
  expired: boolean | null
}

const none: readonly NewJob[] = []
const maxResult = 1_000_000
const maxError = 48_000

/** A claimed job on this worker, from the claim to its settlement; at the same time what its handler gets to see. */
export class Running implements Attempt {
  readonly token: string
  readonly handler: Handler | undefined
  readonly definition: AnyDefinition | undefined
  /** Why its signal fired. */
  stopped: StopReason | undefined
  /** Its outcome is decided: whatever the handler still does changes nothing. */
  decided = false
  /** Its outcome is committed already, by `transaction`. */
  completed = false
  payload: unknown
  readonly #host: Host
  readonly #row: ClaimedRow
  #rest: Rest | null | undefined
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
    return this.#row.payload ?? "null"
  }
  get tags(): readonly string[] {
    return this.#details?.tags ?? []
  }
  get meta(): Record<string, unknown> {
    return (this.#meta ??= structuredClone(this.#details?.meta ?? {}))
  }
  get expired(): boolean {
    return this.#details?.expired === true
  }
  /** Somebody asked for it to be cancelled before this claim. */
  get cancelRequested(): { reason: string | null } | undefined {
    return this.#details?.cancel ?? undefined
  }
  get remaining(): number | undefined {
    return this.#deadline === undefined ? undefined : Math.max(0, this.#deadline - monotonic())
  }
  /** Jobs pushed by the handler, to be inserted with its success. */
  get pushes(): readonly NewJob[] {
    return this.#pushes ?? none
  }
  get timeout(): number | undefined {
    return this.#row.timeout_ms ?? undefined
  }

  get #details(): Rest | null {
    if (this.#rest === undefined) this.#rest = this.#row.rest === null ? null : (JSON.parse(this.#row.rest) as Rest)
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
    const job = await preparePush(definition, options, { maxPayload: this.#host.maxPayload })(payload)
    if (this.decided || this.completed)
      throw failure("MILLRACE_LEASE_LOST", `Job ${this.id} has ended; a job pushed now would not belong to it.`)
    ;(this.#pushes ??= []).push(job)
    return { id: job.id }
  }

  transaction(run: (tx: Transaction) => unknown): Promise<never> {
    return this.#host.complete(this, run) as Promise<never>
  }

  /** Reads the stored payload: parsed, put through the schema, upgraded when only an earlier release's would pass. */
  load(): Promise<void> | void {
    const stored: unknown = this.#row.payload === null ? null : JSON.parse(this.#row.payload)
    const schema = this.definition?.payloadSchema
    if (!schema) {
      this.payload = stored
      return undefined
    }
    const checked = schema["~standard"].validate(stored)
    if (checked instanceof Promise) return checked.then((result) => this.#accept(result, stored))
    return this.#accept(checked, stored)
  }

  #accept(
    result: { readonly issues?: readonly { readonly message: string }[] | undefined } | { readonly value: unknown },
    stored: unknown,
  ): Promise<void> | void {
    if (!("issues" in result) || result.issues === undefined) {
      this.payload = (result as { value: unknown }).value
      return undefined
    }
    return this.#upgrade(result.issues, stored)
  }

  /** A payload of undefined is stored as null; an old one goes through `upgrade`. */
  async #upgrade(issues: readonly { readonly message: string }[], stored: unknown): Promise<void> {
    const definition = this.definition!
    const validate = definition.payloadSchema!["~standard"].validate
    if (stored === null) {
      const empty = await validate(undefined)
      if (!empty.issues) {
        this.payload = empty.value
        return
      }
    }
    if (!definition.upgrade) throw this.#refuse(issues)
    const upgraded = await validate(await definition.upgrade(stored))
    if (upgraded.issues) throw this.#refuse(upgraded.issues)
    this.payload = upgraded.value
  }

  #refuse(issues: readonly { readonly message: string }[]): Error {
    this.#refused = true
    return refused(this.definition!, issues)
  }

  /** Puts the result through the definition's schema. */
  async check(value: unknown): Promise<unknown> {
    const result = await this.definition!.resultSchema!["~standard"].validate(value)
    if (result.issues) throw refused(this.definition!, result.issues, "result")
    return result.value
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
    const result = state === "succeeded" ? resultText(decision.value) : undefined
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

function resultText(value: unknown): string | undefined {
  if (value === undefined) return undefined
  const json = encodeJson(value)
  return "text" in json && json.bytes <= maxResult ? json.text : sanitizeJson(value, maxResult)
}
