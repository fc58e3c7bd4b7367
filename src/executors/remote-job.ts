import { monotonic } from "../lib/clock.ts"
import { sanitizeJson } from "../lib/json.ts"
import type { Transaction } from "../model/database.ts"
import { preparePush, type AnyDefinition, type Pushable } from "../model/definition.ts"
import { failure } from "../model/errors.ts"
import type { PushOptions } from "../model/job-options.ts"
import { jobLog, type JobLog } from "../model/job-log.ts"
import type { JobApp } from "../model/job-app.ts"
import { isDirective } from "../model/outcome.ts"
import { checkResult } from "../model/payload.ts"
import type { RunningJob } from "../model/running-job.ts"
import { packReport, packValue, unpackValue, type PackedReport } from "../model/wire.ts"
import { seal, unseal, type FromSeat, type JobMessage, type Question } from "./messages.ts"

/** The way back to the worker. */
export interface Line {
  readonly queue: string
  readonly maxPayload: number
  /** @throws MILLRACE_NO_APP. */
  app(): JobApp
  tell(message: FromSeat): void
  ask(call: number, job: number, kind: Question, value: string): Promise<string | null>
}

const maxProgress = 65_536
const maxMeta = 65_536

/** A job as its handler sees it, in a thread or process: what it does is told to the worker, which does it. */
export class RemoteJob implements RunningJob<never> {
  readonly id: string
  readonly name: string
  readonly attempt: number
  readonly maxAttempts: number
  readonly crashes: number
  readonly claims: number
  readonly payloadText: string
  readonly tags: readonly string[]
  payload: unknown
  /** Its handler is back: it says nothing more. */
  ended = false
  readonly #line: Line
  readonly #call: number
  readonly #index: number
  readonly #definition: AnyDefinition
  readonly #deadline: number | undefined
  readonly #storedMeta: string | null
  #meta: Record<string, unknown> | undefined
  #log: JobLog | undefined
  #controller: AbortController | undefined
  #stopped: { readonly reason: unknown } | undefined

  constructor(line: Line, call: number, index: number, message: JobMessage, definition: AnyDefinition) {
    const [id, name, attempt, maxAttempts, crashes, claims, payload, timeout, meta, tags] = message
    this.#line = line
    this.#call = call
    this.#index = index
    this.#definition = definition
    this.id = id
    this.name = name
    this.attempt = attempt
    this.maxAttempts = maxAttempts
    this.crashes = crashes
    this.claims = claims
    this.payloadText = payload
    this.#storedMeta = meta
    this.tags = tags ?? []
    this.#deadline = timeout > 0 ? monotonic() + timeout : undefined
  }

  get queue(): string {
    return this.#line.queue
  }

  get app(): JobApp {
    return this.#line.app()
  }

  get meta(): Record<string, unknown> {
    return (this.#meta ??= JSON.parse(this.#storedMeta ?? "{}") as Record<string, unknown>)
  }

  get remaining(): number | undefined {
    return this.#deadline === undefined ? undefined : Math.max(0, this.#deadline - monotonic())
  }

  /** Why its signal fired. */
  get stopped(): { readonly reason: unknown } | undefined {
    return this.#stopped
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#stopped) this.#controller.abort(this.#stopped.reason)
    }
    return this.#controller.signal
  }

  stop(reason: unknown): void {
    this.#stopped ??= { reason }
    this.#controller?.abort(reason)
  }

  /** Its meta as JSON text, when its handler changed it. */
  changedMeta(): string | null {
    if (this.#meta === undefined) return null
    const text = sanitizeJson(this.#meta, maxMeta)
    return text === (this.#storedMeta ?? "{}") ? null : text
  }

  progress(value: unknown): void {
    if (!this.ended) this.#line.tell(["progress", this.#call, this.#index, sanitizeJson(value, maxProgress)])
  }

  get log(): JobLog {
    return (this.#log ??= jobLog((level, message, fields) => {
      const more = fields === undefined ? null : sanitizeJson(fields, maxProgress)
      if (!this.ended) this.#line.tell(["log", this.#call, this.#index, level, String(message), more])
    }))
  }

  async push<Input>(definition: Pushable<Input, unknown>, payload: Input, options?: Omit<PushOptions, "tx" | "wake">) {
    const job = await preparePush(definition, options, { maxPayload: this.#line.maxPayload })(payload)
    if (this.ended || this.#stopped)
      throw failure("MILLRACE_LEASE_LOST", `Job ${this.id} has ended; a job pushed now would not belong to it.`)
    this.#line.tell(["push", this.#call, this.#index, job])
    return { id: job.id }
  }

  /** The worker holds the transaction, on a connection of its own, and settles in it: only the statements travel. */
  async transaction(run: (tx: Transaction) => unknown): Promise<never> {
    const ask = (kind: Question, value = "") => this.#line.ask(this.#call, this.#index, kind, value)
    await ask("begin")
    const tx: Transaction = {
      query: async (text, values) => unseal((await ask("query", seal([text, values])))!) as never,
    }
    let end: PackedReport
    try {
      end = await this.#checked(await run(tx))
    } catch (error) {
      // What is told here comes back as the rejection of the transaction; its own error is the better one.
      await ask("rollback", JSON.stringify(packReport({ ok: false, error }))).catch(() => {})
      throw error
    }
    return unpackValue(await ask("commit", JSON.stringify(end))) as never
  }

  async #checked(value: unknown): Promise<PackedReport> {
    if (isDirective(value)) return packReport({ ok: true, value })
    return packValue(this.#definition.resultSchema ? await checkResult(this.#definition, value) : value)
  }
}
