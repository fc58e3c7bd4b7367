import type { Pushable } from "./pushable.ts"
import type { JobRecord } from "./job.ts"
import type { PushOptions } from "./job-options.ts"

/** The payload may be left out where the definition allows undefined. */
export type PushArguments<Input, Options> = undefined extends Input
  ? [payload?: Input, options?: Options]
  : [payload: Input, options?: Options]

/** A job that was pushed. */
interface Pushed<Result> {
  readonly id: string
  get(): Promise<JobRecord<unknown, Result> | undefined>
  result(options?: { readonly timeout?: number | string }): Promise<Result>
  cancel(reason?: string): Promise<"cancelled" | "requested" | "finished">
}

/**
 * The app as handlers see it. What it does is committed at once, whatever becomes of the job; for what shall exist only
 * if the job succeeds, there is `job.push`.
 */
export interface JobApp {
  push<Input, Result>(
    definition: Pushable<Input, Result>,
    ...[payload, options]: PushArguments<NoInfer<Input>, PushOptions>
  ): Promise<Pushed<Result>>
  pushMany<Input, Result>(
    definition: Pushable<Input, Result>,
    payloads: Iterable<NoInfer<Input>> | AsyncIterable<NoInfer<Input>>,
    options?: Omit<PushOptions, "id">,
  ): Promise<Pushed<Result>[]>
  job<Result = unknown>(id: string): Pushed<Result>
  pauseQueue(name: string, options?: { readonly until?: Date | string }): Promise<void>
  resumeQueue(name: string): Promise<void>
}
