import { encodeJson } from "../../lib/json.ts"
import { didYouMean } from "../../lib/nearest.ts"
import { boolean, duration, list, parseOptions, text, type OptionsInput } from "../../lib/options.ts"
import { failure, type ErrorRecord } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import { dot, graphOf, mermaid, type Graph } from "./drawing.ts"
import { stepOf, workflowOf, type StepRecord, type WorkflowRecord } from "./record.ts"
import * as store from "./store.ts"
import type { Finishes } from "./finishes.ts"
import { unknownWorkflow } from "./unknown.ts"

const resultOptions = {
  /** How long to wait. Default for ever. */
  timeout: duration({ doc: "How long to wait. Default for ever." }),
}

const cancelOptions = {
  /** Undo what was done. */
  compensate: boolean({ default: false, doc: "Undo what was done." }),
}

const retryOptions = {
  /** Steps from which on it runs again, also those that succeeded. Default: what did not succeed. */
  from: list(text({ doc: "A step." }), {
    default: [],
    doc: "Steps from which on it runs again, also those that succeeded. Default: what did not succeed.",
  }),
}

export type CancelWorkflowOptions = OptionsInput<typeof cancelOptions>
export type RetryWorkflowOptions = OptionsInput<typeof retryOptions> & {
  /** Instead of the one that it was pushed with. It is not put through the workflow's schema here. */
  readonly input?: unknown
}

/** What references need. */
export interface References {
  readonly app: AppContext
  readonly finishes: Finishes
  readonly maxSignals: number
  updated(id: string, action: string): void
}

/** A handle on a workflow: read it, wait for it, steer it. */
export class WorkflowReference<Result = unknown> {
  readonly id: string
  /** True when the push found a workflow of this id. */
  readonly duplicate: boolean
  readonly #home: References

  constructor(home: References, id: string, duplicate = false) {
    this.#home = home
    this.id = id
    this.duplicate = duplicate
  }

  /** The workflow with its steps; undefined when there is none (any more). */
  async get(): Promise<WorkflowRecord<Result> | undefined> {
    const { db, names } = this.#home.app
    const row = await store.findWorkflow(db, names, this.id)
    return row && (workflowOf(row, await store.findSteps(db, names, this.id)) as WorkflowRecord<Result>)
  }

  /** Items of a map, in order, from number `from` (default 0) on, at most `limit` (default 100, at most 1,000). */
  async items(key: string, { from = 0, limit = 100 }: { from?: number; limit?: number } = {}): Promise<StepRecord[]> {
    const { db, names } = this.#home.app
    const rows = await store.findItems(db, names, this.id, key, from, Math.min(limit, 1_000))
    return rows.map((row) => stepOf(row, []))
  }

  /**
   * Waits for the workflow to finish.
   *
   * @throws MILLRACE_TIMEOUT, MILLRACE_UNKNOWN_WORKFLOW.
   */
  async wait(options?: OptionsInput<typeof resultOptions>): Promise<WorkflowRecord<Result>> {
    const { timeout } = parseOptions("wait", resultOptions, options)
    await this.#home.finishes.wait(this.id, timeout)
    return (await this.get()) ?? this.#unknown()
  }

  /**
   * Waits for the workflow to finish and returns its result.
   *
   * @throws MILLRACE_WORKFLOW_FAILED (its cause is the error of the step), MILLRACE_CANCELLED, MILLRACE_TIMEOUT,
   *   MILLRACE_UNKNOWN_WORKFLOW.
   */
  async result(options?: OptionsInput<typeof resultOptions>): Promise<Result> {
    const { timeout } = parseOptions("result", resultOptions, options)
    await this.#home.finishes.wait(this.id, timeout)
    const row = (await store.findWorkflow(this.#home.app.db, this.#home.app.names, this.id)) ?? this.#unknown()
    if (row.state === "succeeded") return row.result as Result
    if (row.state === "cancelled") {
      throw failure(
        "MILLRACE_CANCELLED",
        `Workflow ${this.id} ("${row.name}") was cancelled: ${row.cancel?.reason ?? "no reason was given"}`,
      )
    }
    throw failed(row)
  }

  /**
   * Cancels it: what waits never starts, what runs is asked to stop. With `compensate`, what was done is undone first.
   *
   * @returns false when it had finished, or was ending already.
   * @throws MILLRACE_UNKNOWN_WORKFLOW.
   */
  async cancel(reason?: string, options?: CancelWorkflowOptions): Promise<boolean> {
    const { compensate } = parseOptions("cancel", cancelOptions, options)
    const { db, names } = this.#home.app
    const because = reason?.slice(0, 2_000).replaceAll("\0", "") ?? null
    const outcome = await store.cancelWorkflow(db, names, this.id, because, compensate)
    if (outcome === "unknown") this.#unknown()
    if (outcome !== "cancelled") return false
    this.#home.updated(this.id, "cancel")
    while ((await store.stopJobs(db, names, this.id)) === 1_000);
    return true
  }

  /** From now on no step of it starts; those that run go on. False when it was paused or is ending. @throws MILLRACE_UNKNOWN_WORKFLOW. */
  pause(): Promise<boolean> {
    return this.#pause(true)
  }

  /** @throws MILLRACE_UNKNOWN_WORKFLOW. */
  resume(): Promise<boolean> {
    return this.#pause(false)
  }

  async #pause(paused: boolean): Promise<boolean> {
    const outcome = await store.pauseWorkflow(this.#home.app.db, this.#home.app.names, this.id, paused)
    if (outcome === "unknown") this.#unknown()
    if (outcome === "done") this.#home.updated(this.id, paused ? "pause" : "resume")
    return outcome === "done"
  }

  /**
   * Runs a finished workflow again: what did not succeed and what comes after it, or everything from some steps on. What was
   * undone counts as not done.
   *
   * @throws MILLRACE_UNKNOWN_WORKFLOW, MILLRACE_WORKFLOW_STATE when it has not finished or nothing is left to do,
   *   MILLRACE_BAD_WORKFLOW for an unknown step, MILLRACE_BAD_JSON.
   */
  async retry(options: RetryWorkflowOptions = {}): Promise<void> {
    const { input, ...rest } = options
    const { from } = parseOptions("retry", retryOptions, rest)
    const { db, names } = this.#home.app
    if (from.length > 0) await this.#known(from)
    const outcome = await store.retryWorkflow(
      db,
      names,
      this.id,
      from,
      input === undefined ? null : jsonOf(input, "retry.input"),
    )
    if (outcome === "unknown") this.#unknown()
    if (outcome === "unfinished") throw badState(this.id, "has not finished; cancel it first.")
    if (outcome === "nothing") throw badState(this.id, "has succeeded; say from which step it shall run again.")
    this.#home.updated(this.id, "retry")
  }

  async #known(keys: readonly string[]): Promise<void> {
    const steps = await store.findSteps(this.#home.app.db, this.#home.app.names, this.id)
    if (steps.length === 0) this.#unknown()
    const known = steps.map((step) => step.key)
    const wrong = keys.find((key) => !known.includes(key))
    if (wrong === undefined) return
    throw failure("MILLRACE_BAD_WORKFLOW", `Workflow ${this.id} has no step "${wrong}".${didYouMean(wrong, known)}`)
  }

  /**
   * What a step made by `waitFor` waits for. One that comes before anybody waits is kept.
   *
   * @throws MILLRACE_UNKNOWN_WORKFLOW, MILLRACE_WORKFLOW_STATE when it has finished, MILLRACE_WORKFLOW_TOO_LARGE when too
   *   many are kept, MILLRACE_BAD_JSON.
   */
  async signal(name: string, payload?: unknown): Promise<void> {
    const { app, maxSignals } = this.#home
    const text = payload === undefined ? "null" : jsonOf(payload, `signal "${name}"`)
    const outcome = await store.signalWorkflow(app.db, app.names, this.id, name, text, maxSignals)
    if (outcome === "unknown") this.#unknown()
    if (outcome === "finished") throw badState(this.id, "has finished, so nothing of it waits for a signal.")
    if (outcome === "full") {
      throw failure(
        "MILLRACE_WORKFLOW_TOO_LARGE",
        `Workflow ${this.id} keeps ${maxSignals} signals that nobody has waited for.`,
      )
    }
    this.#home.updated(this.id, "signal")
  }

  /** Steps and what they wait for, with states. */
  async graph(): Promise<Graph> {
    return graphOf((await this.get()) ?? this.#unknown())
  }

  /** For Graphviz. */
  async dot(): Promise<string> {
    return dot(await this.graph())
  }

  async mermaid(): Promise<string> {
    return mermaid(await this.graph())
  }

  /** Deletes it for good, once it has finished. False when it has not. */
  async delete(): Promise<boolean> {
    const { db, names } = this.#home.app
    return (await store.deleteWorkflows(db, names, { id: this.id }, 1)) === 1
  }

  #unknown(): never {
    throw unknownWorkflow(this.id)
  }
}

const badState = (id: string, text: string) => failure("MILLRACE_WORKFLOW_STATE", `Workflow ${id} ${text}`)

function failed(row: store.WorkflowRow) {
  const { step, state, error } = row.failure ?? {}
  const what = error?.message ?? (state === "cancelled" ? "its job was cancelled" : "no error was kept")
  const text = `Workflow ${row.id} ("${row.name}") failed${step === undefined ? "" : ` at step "${step}"`}: ${what}`
  return failure("MILLRACE_WORKFLOW_FAILED", text, error ? causeOf(error) : undefined)
}

function causeOf({ name, message, code, stack }: ErrorRecord): Error {
  const error: Error & { code?: string } = new Error(message)
  error.name = name
  if (code !== undefined) error.code = code
  if (stack !== undefined) error.stack = stack
  return error
}

/** @throws MILLRACE_BAD_JSON. */
export function jsonOf(value: unknown, where: string): string {
  const json = encodeJson(value)
  if ("problem" in json)
    throw failure("MILLRACE_BAD_JSON", `${where} cannot be stored as JSON: ${json.path ?? "$"} ${json.problem}.`)
  return json.text
}
