import type { Transaction } from "./database.ts"
import type { AnyDefinition, Handler } from "./definition.ts"
import { failure } from "./errors.ts"
import type { NewJob } from "./job.ts"
import type { Logger } from "./log.ts"
import type { Report } from "./outcome.ts"
import type { RunningJob } from "./running-job.ts"

/** A claimed attempt, as an executor gets it. */
export interface Attempt extends RunningJob {
  /** The payload as the handler gets it: upgraded, and put through the schema. Absent where the executor is `remote`. */
  readonly payload: unknown
  /** JSON text, as stored. */
  readonly payloadText: string
  /** JSON text, as stored; undefined when there is none. */
  readonly metaText: string | undefined
  /** Milliseconds; undefined without a time limit. */
  readonly timeout: number | undefined
  readonly handler: Handler | undefined
  readonly definition: AnyDefinition | undefined
  /** A `remote` executor says when the handler starts: the time limit counts from here. */
  started(): void
  /** Takes a job over that was checked elsewhere: it is pushed with this one's success, like those of `push`. */
  adopt(job: NewJob): void
  /** With `checked`, what `run` returns went through the result's schema already. */
  transaction(run: (tx: Transaction) => Promise<unknown>, checked?: boolean): Promise<unknown>
}

/** What may be asked of an executor: that a job ends in time, or stays within an amount of memory. */
export type Limit = "time" | "memory"

/**
 * A place where handlers run. The one required function runs a claimed job under its signal and says how it went; it
 * never throws for what a handler does. An executor does not decide states and writes nothing to the database.
 */
export interface Executor {
  /** Jobs that one worker runs at a time unless the queue says otherwise. Default 1. */
  readonly defaultConcurrency?: number
  /** Whether a job whose name has no handler is parked instead of run. Default true. */
  readonly needsHandler?: boolean
  /** Whether it runs handlers written in the worker's program, beside those of modules. Default true. */
  readonly inline?: boolean
  /** Limits that it honours; a queue that asks for another one is refused. Default `["time"]`. */
  readonly limits?: readonly Limit[]
  /**
   * It runs handlers elsewhere: it reads `payloadText` there, and calls `attempt.started()` when the time limit shall
   * begin. Default false: the worker reads the payload, and the time limit begins with `run`.
   */
  readonly remote?: boolean
  /** Before its queue is claimed from. When it rejects, the queue is left alone for now, and tried again later. */
  start?(): Promise<void>
  run(attempt: Attempt): Promise<Report> | Report
  /** Runs several jobs of one batch handler; one report each. */
  runBatch?(attempts: readonly Attempt[]): Promise<readonly Report[]>
  /** The hard stop, for a job that goes on for a grace period after its signal fired: `run` must settle soon. */
  kill?(attempt: Attempt): void
  /** After the last job of its queue here, or when the worker stops: ends whatever still runs. */
  close?(): Promise<void>
}

/** A queue as it is placed on a worker, for an executor that is made for it. */
export interface ExecutorQueue {
  readonly name: string
  /** Undefined: the executor's default. */
  readonly concurrency: number | undefined
  /** The queue's `executorOptions`, unchecked. */
  readonly options: Readonly<Record<string, unknown>>
  /** Bytes; undefined: no limit. */
  readonly memoryLimit: number | undefined
  /** URLs of the worker's handler modules. */
  readonly modules: readonly string[]
  /** How to make an app elsewhere; undefined when only the caller's pool knows. */
  readonly app: AppRecipe | undefined
  /** Bytes of JSON text. */
  readonly maxPayload: number
  readonly log: Logger
}

/** How another thread or process makes an app of its own. */
export interface AppRecipe {
  /** URL of the module that exports `Millrace`. */
  readonly module: string
  readonly options: Readonly<Record<string, unknown>>
}

/**
 * What a worker registers under a name: an executor that serves all queues that name it, or a function that makes one
 * for each such queue, checks its `executorOptions`, and throws where they are wrong.
 */
export type ExecutorEntry = Executor | ((queue: ExecutorQueue) => Executor)

/**
 * The executor for a queue.
 *
 * @throws MILLRACE_LIMIT_REFUSED, MILLRACE_UNKNOWN_OPTION, or what the entry's function throws.
 */
export function openExecutor(
  name: string,
  entry: ExecutorEntry,
  queue: ExecutorQueue & { timeout?: number | undefined },
) {
  const executor = typeof entry === "function" ? entry(queue) : entry
  const [option] = Object.keys(queue.options)
  if (typeof entry !== "function" && option !== undefined) {
    throw failure(
      "MILLRACE_UNKNOWN_OPTION",
      `Queue "${queue.name}": the executor "${name}" takes no options, but executorOptions has "${option}". ` +
        "An executor that takes options is registered as a function of its queue.",
    )
  }
  checkLimits(name, executor.limits ?? ["time"], queue)
  return executor
}

export interface AskedLimits {
  readonly name: string
  readonly timeout?: number | undefined
  readonly memoryLimit?: number | undefined
}

/** @throws MILLRACE_LIMIT_REFUSED. */
export function checkLimits(executor: string, limits: readonly Limit[], queue: AskedLimits): void {
  if (queue.timeout !== undefined && !limits.includes("time"))
    throw refusal(queue.name, executor, "a time limit", "Leave `timeout` out, or name an executor that can be stopped.")
  if (queue.memoryLimit !== undefined && !limits.includes("memory"))
    throw refusal(
      queue.name,
      executor,
      "a memory limit",
      'Leave `memoryLimit` out, or use "process" (or "thread", for the heap alone).',
    )
}

const refusal = (queue: string, executor: string, what: string, instead: string) =>
  failure(
    "MILLRACE_LIMIT_REFUSED",
    `Queue "${queue}" asks for ${what}, which the executor "${executor}" cannot honour. ${instead}`,
  )
