import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { JobDefaults } from "./job-options.ts"
import type { Directive, FailedAttempt } from "./outcome.ts"

/** A definition without its types. */
export interface AnyDefinition {
  readonly name: string
  readonly aliases: readonly string[]
  readonly defaults: JobDefaults
  readonly payloadSchema: StandardSchemaV1 | undefined
  readonly resultSchema: StandardSchemaV1 | undefined
  readonly upgrade: ((payload: unknown) => unknown) | undefined
  readonly onError: ((error: unknown, job: FailedAttempt) => Directive | undefined | void) | undefined
}

/** What `push` asks of a definition: the types that flow from it. The two functions never exist. */
export interface Pushable<in Input, out Result> extends AnyDefinition {
  readonly accepts?: (value: Input) => void
  readonly returns?: () => Result
}
