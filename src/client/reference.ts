import { encodeJson } from "../lib/json.ts"
import type { LogLine } from "../model/job-log.ts"
import { duration, integer, parseOptions, value, type OptionsInput } from "../lib/options.ts"
import { failure, type ErrorRecord } from "../model/errors.ts"
import { parseMoment } from "../model/job-options.ts"
import type { JobRecord } from "../model/job.ts"
import { finalStates } from "../model/state.ts"
import { ensurePartitions } from "../postgres/history.ts"
import { cancelJobs, findJobs, retentionsInUse, retryJob, updateJob } from "../postgres/jobs.ts"
import { readLogs } from "../postgres/logs.ts"
import { sqlState, verdict } from "../postgres/sqlstate.ts"
import type { Context } from "./context.ts"
import { follow, type JobEvent } from "./follower.ts"
import { linesOf } from "./log-lines.ts"
import { recordOf } from "./record.ts"

const resultOptions = {
  /** How long to wait. Default for ever. */
  timeout: duration({ doc: "How long to wait. Default for ever." }),
}

const updateOptions = {
  /** A new time: a Date, or `"in 10m"`. */
  runAt: value<Date | string>({ type: "Date | text", doc: 'A new time: a Date, or `"in 10m"`.' }),
  /** A new priority. */
  priority: integer({ min: -1_000_000, max: 1_000_000, doc: "A new priority." }),
  /** A new payload. It is not put through the schema before it runs. */
  payload: value<unknown>({ type: "JSON", doc: "A new payload." }),
}

const logsOptions = {
  /** Lines behind the one of this number. Default 0: from the first. */
  after: integer({ default: 0, doc: "Lines behind the one of this number. Default 0: from the first." }),
  /** Most lines. */
  limit: integer({ default: 1_000, min: 1, max: 20_000, doc: "Most lines." }),
}

const followOptions = {
  /** Lines behind the one of this number. Default 0: from the first. */
  after: integer({ default: 0, doc: "Lines behind the one of this number. Default 0: from the first." }),
  /** Ends the iteration. */
  signal: value<AbortSignal>({
    type: "AbortSignal",
    doc: "Ends the iteration.",
    check: (given) => (given instanceof AbortSignal ? undefined : "must be an AbortSignal"),
  }),
}

export type LogsOptions = OptionsInput<typeof logsOptions>
export type FollowOptions = OptionsInput<typeof followOptions>
export type ResultOptions = OptionsInput<typeof resultOptions>
export type UpdateOptions = OptionsInput<typeof updateOptions>

/** How a cancellation ended: done, asked of the worker that runs the job, or too late. */
export type Cancelled = "cancelled" | "requested" | "finished"

/** A handle on a job: read it, wait for its result, cancel it. Plain data otherwise; `app.job(id)` makes one again. */
export class Reference<Result = unknown> {
  readonly id: string
  /** Undefined when only the id is known. */
  readonly queue: string | undefined
  /** True when the push found its unique key taken: this is the job that holds it. */
  readonly duplicate: boolean
  readonly #context: Context

  constructor(context: Context, id: string, queue?: string, duplicate = false) {
    this.#context = context
    this.id = id
    this.queue = queue
    this.duplicate = duplicate
  }

  /** The job as it is now; undefined when there is none (any more). */
  async get(): Promise<JobRecord<unknown, Result> | undefined> {
    const { db, names } = this.#context
    const [row] = await findJobs(db, names, [this.id])
    return row && (recordOf(row) as JobRecord<unknown, Result>)
  }

  /**
   * Lines of the job's log, oldest first, also long after it finished, as long as its record is kept. To read on, give the
   * last `n` as `after`. Where lines were dropped (a job keeps its first and its newest, 10,000 or 1 MiB), one line stands
   * for them, whose `fields.dropped` says how many.
   *
   * @throws MILLRACE_UNKNOWN_JOB.
   */
  async logs(options?: LogsOptions): Promise<LogLine[]> {
    const { after, limit } = parseOptions("logs", logsOptions, options)
    const { db, names } = this.#context
    const chunks = await readLogs(db, names, this.id, after, limit)
    if (!chunks) throw unknownJob(this.id)
    return linesOf(chunks, after, limit)
  }

  /**
   * What happens to the job from now on: lines of its log (all of them, or those behind `after`), its progress, its states;
   * ends with its final state. From any process; as they happen where notifications arrive, else within a second.
   *
   * @example
   * for await (const event of job.follow()) if (event.type === "log") console.log(event.message)
   *
   * @throws MILLRACE_UNKNOWN_JOB when there is no such job, or it ended and left nothing (retention "none").
   */
  follow(options?: FollowOptions): AsyncIterableIterator<JobEvent> {
    const { after, signal } = parseOptions("follow", followOptions, options)
    return follow(this.#context, this.id, after, signal, () => unknownJob(this.id))
  }

  /**
   * Waits for the job to finish and returns what its handler returned.
   *
   * @throws MILLRACE_JOB_FAILED (its cause is the last error), MILLRACE_CANCELLED, MILLRACE_TIMEOUT,
   *   MILLRACE_UNKNOWN_JOB, MILLRACE_NO_RESULT for a job with retention "none".
   */
  async result(options?: ResultOptions): Promise<Result> {
    const { timeout } = parseOptions("result", resultOptions, options)
    const deadline = timeout === undefined ? Infinity : performance.now() + timeout
    const record = await this.#context.waiter.wait({ id: this.id, states: finalStates, deadline })
    if (record.state === "succeeded") return record.result as Result
    throw record.state === "cancelled" ? cancelled(record) : jobFailed(record)
  }

  /**
   * Cancels the job: at once when no worker holds it, else by firing its handler's signal; its outcome is then
   * `cancelled` whatever the handler returns. A finished job stays as it is.
   *
   * @throws MILLRACE_UNKNOWN_JOB.
   */
  async cancel(reason?: string): Promise<Cancelled> {
    const { notices } = this.#context
    const text = reason?.slice(0, 2_000).replaceAll("\0", "") ?? null
    const [row] = await this.#cancel(text).catch(async (error: unknown) => {
      if (verdict(error) !== "partition") throw error
      await this.#makePartition()
      return this.#cancel(text)
    })
    if (!row) throw unknownJob(this.id)
    if (row.outcome === "requested") notices.send({ kind: "cancel", about: this.id })
    if (row.awaited) notices.send({ kind: "done", about: this.id })
    return row.outcome
  }

  #cancel(reason: string | null) {
    const { db, names } = this.#context
    return cancelJobs(db, names, this.queue ?? null, [this.id], reason)
  }

  /** The history had no room for this job's retention yet. */
  async #makePartition(): Promise<void> {
    const { db, names } = this.#context
    await ensurePartitions(db, names, await retentionsInUse(db, names, [this.id]))
  }

  /**
   * Runs the job again under the same id: a finished one comes back with its attempts counted anew, a waiting one
   * becomes ready now.
   *
   * @throws MILLRACE_JOB_RUNNING, MILLRACE_KEY_TAKEN, MILLRACE_UNKNOWN_JOB.
   */
  async retry(): Promise<void> {
    const { db, names, notices } = this.#context
    const row = await retryJob(db, names, this.queue ?? null, this.id).catch((error: unknown) => {
      if (sqlState(error) !== "23505") throw error
      throw failure(
        "MILLRACE_KEY_TAKEN",
        `Job ${this.id} cannot run again: another unfinished job holds its unique key. Cancel that one first.`,
        error,
      )
    })
    if (!row) throw unknownJob(this.id)
    if (row.outcome === "running")
      throw failure(
        "MILLRACE_JOB_RUNNING",
        `Job ${this.id} is running; cancel it, or wait for it, before running it again.`,
      )
    notices.send({ kind: "ready", about: row.queue })
  }

  /**
   * Changes a job that has not started.
   *
   * @throws MILLRACE_JOB_RUNNING when it has, or has finished; MILLRACE_UNKNOWN_JOB; MILLRACE_BAD_JSON;
   *   MILLRACE_PAYLOAD_TOO_LARGE.
   */
  async update(options: UpdateOptions): Promise<void> {
    const { db, names, notices } = this.#context
    const { runAt, priority } = parseOptions("update", updateOptions, options)
    const row = await updateJob(db, names, this.queue ?? null, this.id, {
      runAt: runAt === undefined ? undefined : parseMoment(runAt, "update.runAt"),
      rank: priority === undefined ? undefined : -priority || 0,
      payload: options.payload === undefined ? undefined : this.#payloadText(options.payload),
    })
    if (!row) throw (await this.get()) ? notWaiting(this.id) : unknownJob(this.id)
    notices.send({ kind: row.state === "pending" ? "ready" : "later", about: row.queue })
  }

  #payloadText(payload: unknown): string {
    const json = encodeJson(payload)
    if ("problem" in json)
      throw failure(
        "MILLRACE_BAD_JSON",
        `update.payload cannot be stored as JSON: ${json.path ?? "$"} ${json.problem}.`,
      )
    const { maxPayload } = this.#context
    if (json.bytes > maxPayload) {
      throw failure(
        "MILLRACE_PAYLOAD_TOO_LARGE",
        `update.payload is ${json.bytes} bytes of JSON, over the limit of ${maxPayload}.`,
      )
    }
    return json.text
  }
}

const unknownJob = (id: string) =>
  failure("MILLRACE_UNKNOWN_JOB", `There is no job ${id}: it never was, it was deleted, or its retention is over.`)

const notWaiting = (id: string) =>
  failure(
    "MILLRACE_JOB_RUNNING",
    `Job ${id} has started or finished, so it cannot be changed. Retry it after it has finished, or push another.`,
  )

const cancelled = (record: JobRecord) =>
  failure(
    "MILLRACE_CANCELLED",
    `Job ${record.id} ("${record.name}") was cancelled: ${record.cancel?.reason ?? record.errors.at(-1)?.message ?? "no reason was given"}`,
    lastError(record),
  )

const jobFailed = (record: JobRecord) =>
  failure(
    "MILLRACE_JOB_FAILED",
    `Job ${record.id} ("${record.name}") failed after ${record.attempts === 1 ? "1 attempt" : `${record.attempts} attempts`}: ${record.errors.at(-1)?.message ?? "no error was kept"}`,
    lastError(record),
  )

function lastError(record: JobRecord): Error | undefined {
  const last: ErrorRecord | undefined = record.errors.at(-1)
  if (!last) return undefined
  const error: Error & { code?: string } = new Error(last.message)
  error.name = last.name
  if (last.code !== undefined) error.code = last.code
  if (last.stack !== undefined) error.stack = last.stack
  return error
}
