import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { Duration } from "../../lib/duration.ts"
import type { Transaction } from "../../model/database.ts"
import type { JobLog } from "../../model/job-log.ts"
import type { BackoffOptions, PushOptions } from "../../model/job-options.ts"
import type { Pushable } from "../../model/pushable.ts"
import type { RunningJob } from "../../model/running-job.ts"

/**
 * A value as it comes back from where it is stored, which is also how a step returns it the first time: as JSON would
 * give it back. A Date is text, what is undefined is not there, functions cannot be stored.
 */
export type Stored<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined | void
    ? T
    : T extends { toJSON(...given: never[]): infer Json }
      ? Stored<Json>
      : // oxlint-disable-next-line typescript/no-explicit-any -- any function
        T extends bigint | symbol | ((...given: any[]) => unknown)
        ? never
        : T extends object
          ? { [Key in keyof T]: Stored<T[Key]> }
          : T

export interface StepRetry {
  /** Attempts of the step in all, the first included. Default 5. */
  readonly maxAttempts?: number
  /** The wait between them. Default 1 s, doubling up to 5 m, with full jitter. Waits over a second give up the slot. */
  readonly backoff?: BackoffOptions
}

export interface StepOptions {
  readonly retry?: StepRetry
  /** Time limit of one attempt of the step. Default none. */
  readonly timeout?: Duration
}

/** What a step's function gets to see. */
export interface StepRun {
  /** Fires when the step is out of time, the flow is cancelled, or its worker stops or has lost its lease. */
  readonly signal: AbortSignal
  /** Number of this attempt of the step, from 1. */
  readonly attempt: number
  /** The same at every attempt, and for no other step of any flow: hand it to the outside world as an idempotency key. */
  readonly idempotencyKey: string
}

export interface WaitForOptions<S extends StandardSchemaV1 = StandardSchemaV1> {
  /** How long to wait; then MILLRACE_TIMEOUT is thrown. Default for ever. */
  readonly timeout?: Duration
  /** Checks the payload: any Standard Schema validator. */
  readonly schema?: S
}

/** A job that a flow pushed. */
export interface FlowJob<Result> {
  readonly id: string
  /**
   * Its result, when it has ended; meanwhile the flow gives up its slot.
   *
   * @throws MILLRACE_JOB_FAILED (its cause is the last error), MILLRACE_CANCELLED, MILLRACE_UNKNOWN_JOB when it was deleted.
   */
  result(): Promise<Stored<Result>>
}

/**
 * The durable side of a flow's function. Each call is known by its id (the same id again counts on: `charge`, `charge#2`),
 * happens once, and gives the same at every replay. Between the calls the function must do the same every time: no clock,
 * no random numbers, no I/O outside of steps.
 */
export interface Flow {
  /** That of the job, and of the run. */
  readonly id: string
  /** True until everything that was stored has been handed out again. */
  readonly replaying: boolean
  /** Fires when the flow is cancelled, out of time, when the worker stops or has lost its lease. */
  readonly signal: AbortSignal
  /** The job that this execution is. */
  readonly job: RunningJob<never>
  /** The job's log; silent while replaying, so that each line stands there once. */
  readonly log: JobLog
  /**
   * Runs a function and stores what it returns: from then on that is what the step gives, whatever happens. A crash
   * between the function's end and the store runs it again: use `run.idempotencyKey`, or `transaction` for work in the
   * same database. What it throws is tried again; out of attempts, the error is stored and thrown into the flow.
   *
   * @throws MILLRACE_STEP_FAILED (its cause is the last error).
   */
  step<T>(id: string, run: (step: StepRun) => T | Promise<T>, options?: StepOptions): Promise<Stored<Awaited<T>>>
  /**
   * A step whose work in the database commits together with its result: exactly once.
   *
   * @throws MILLRACE_STEP_FAILED (its cause is the last error).
   */
  transaction<T>(
    id: string,
    run: (tx: Transaction, step: StepRun) => T | Promise<T>,
    options?: StepOptions,
  ): Promise<Stored<Awaited<T>>>
  /** Waits by the database's clock, without a slot, over any number of restarts: `flow.sleep("3d")`. */
  sleep(duration: Duration): Promise<void>
  sleep(id: string, duration: Duration): Promise<void>
  /** Waits until a point in time, by the database's clock. */
  sleepUntil(date: Date): Promise<void>
  sleepUntil(id: string, date: Date): Promise<void>
  /**
   * Waits, without a slot, for `flows.signal(id, name, payload)`; one that came before is taken at once, the oldest first.
   *
   * @throws MILLRACE_TIMEOUT; MILLRACE_BAD_PAYLOAD when the schema refuses the payload.
   */
  waitFor<S extends StandardSchemaV1>(
    name: string,
    options: WaitForOptions<S> & { readonly schema: S },
  ): Promise<StandardSchemaV1.InferOutput<S>>
  waitFor<T = unknown>(name: string, options?: WaitForOptions): Promise<T>
  /**
   * Pushes a job, once. Await its `result()` now or later. Known by the definition's name unless `id` says otherwise.
   *
   * @throws what `app.push` throws.
   */
  push<Input, Result>(
    definition: Pushable<Input, Result>,
    payload: NoInfer<Input>,
    options?: FlowPushOptions,
  ): Promise<FlowJob<Result>>
  /** Pushes a job and waits for its result. */
  run<Input, Result>(
    definition: Pushable<Input, Result>,
    payload: NoInfer<Input>,
    options?: FlowPushOptions,
  ): Promise<Stored<Result>>
  /** The time, by the database's clock; the same at every replay. */
  now(): Promise<Date>
  /** A number from 0 up to 1; the same at every replay. */
  random(): Promise<number>
  /** A new UUID; the same at every replay. */
  uuid(): Promise<string>
  /**
   * Whether the code behind this id applies: true for runs that come here for the first time, false for those that were
   * past this place when it was deployed.
   *
   * @example if (await flow.patched("fraud-check")) await flow.step("fraud-check", check)
   */
  patched(id: string): Promise<boolean>
}

export interface FlowPushOptions extends Omit<PushOptions, "tx" | "wake" | "id"> {
  /** Of the step. Default: the definition's name. */
  readonly id?: string
}
