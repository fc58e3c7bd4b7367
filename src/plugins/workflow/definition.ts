import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { Duration } from "../../lib/duration.ts"
import type { Pushable } from "../../model/pushable.ts"
import type { FailurePolicy, Node } from "./node.ts"
import type { GroupOptions, MapOptions, StepOptions, WaitForOptions } from "./options.ts"
import type { Holds, Ref, Unwired, Wired } from "./references.ts"

/* What a workflow is made with, as its author sees it. */

/** A step of a workflow. It may stand where its result is wanted. */
export interface Step<Result> extends Holds<Result> {
  readonly key: string
  /** What it will return. Whoever reads this is skipped when this step is. */
  readonly result: Ref<Result>
  /** The same for those who run in any case, when this step has ended: undefined if it was skipped or failed. */
  readonly maybe: Ref<Result | undefined>
}

export interface JobStep<Result> extends Step<Result> {
  /** The job that undoes it, when the workflow is compensated after it has succeeded. */
  undo<Input>(
    job: Pushable<Input, unknown>,
    payload: (result: Ref<Result>) => Wired<NoInfer<Input>>,
    options?: UndoOptions,
  ): this
}

export interface MapStep<Item, Result> extends Step<Result[]> {
  /** The job that undoes one item. */
  undo<Input>(
    job: Pushable<Input, unknown>,
    payload: (result: Ref<Result>, item: Ref<Item>, index: Ref<number>) => Wired<NoInfer<Input>>,
    options?: UndoOptions,
  ): this
}

export type UndoOptions = Omit<StepOptions, "after" | "when" | "onFailure" | "delay">
type After = Step<unknown> | Holds<unknown> | string
type Ordered<Options> = Omit<Options, "after"> & { readonly after?: After | readonly After[] }

/** With `continue`, a step that failed has returned nothing. */
type Outcome<Result, Options> = Options extends { readonly onFailure: "continue" } ? Result | undefined : Result

/** What a workflow is made with. */
export interface Builder<Input> {
  /** What the workflow was pushed with, through its schema. */
  readonly input: Ref<Input>
  /** A job. It waits for the steps that its payload reads, and for those in `after`. */
  step<In, Result, const Options extends Ordered<StepOptions>>(
    key: string,
    job: Pushable<In, Result>,
    payload: Wired<NoInfer<In>>,
    options?: Options,
  ): JobStep<Outcome<Result, Options>>
  step<Result>(key: string, job: Pushable<undefined, Result>): JobStep<Result>
  /** One job per item of a list that is there when the step starts; its result is the list of theirs, in order. */
  map<Item, In, Result, const Options extends Ordered<MapOptions>>(
    key: string,
    job: Pushable<In, Result>,
    list: Holds<readonly Item[]> | readonly Wired<Item>[],
    payload: (item: Ref<Item>, index: Ref<number>) => Wired<NoInfer<In>>,
    options?: Options,
  ): MapStep<Item, Outcome<Result, Options>>
  /** Steps under one name, with one order and one condition. Its result is what `build` returns. */
  group<Output>(
    key: string,
    build: (w: Builder<Input>) => Output,
    options?: Ordered<GroupOptions>,
  ): Step<Unwired<Output>>
  /** Another workflow's steps, as a part of this one. Its result is that one's. */
  run<In, Output>(
    key: string,
    workflow: Workflow<In, Output>,
    input: Wired<NoInfer<In>>,
    options?: Ordered<GroupOptions>,
  ): Step<Output>
  /** A value made of others. */
  value<const T>(key: string, value: T, options?: Ordered<GroupOptions>): Step<Unwired<T>>
  /** Waits for this long. */
  sleep(key: string, time: Duration, options?: Ordered<GroupOptions>): Step<null>
  /** Waits until this moment: a Date, or ISO text that is there by then. */
  sleepUntil(key: string, moment: Date | Holds<string>, options?: Ordered<GroupOptions>): Step<null>
  /** Waits for `reference.signal(name, payload)`, which may also come before; its result is the payload. */
  waitFor<Payload = unknown>(key: string, options?: Ordered<WaitForOptions>): Step<Payload>
  /** Puts steps one after the other. Returns the last. */
  sequence<Last extends Step<unknown>>(...steps: readonly [...Step<unknown>[], Last]): Last
  /** Text with values in it. */
  text(strings: TemplateStringsArray, ...values: readonly unknown[]): Ref<string>
}

/** A workflow's definition: its steps and how they fit together. Made by `workflow(…)`. */
export interface Workflow<in Input, out Output> {
  readonly name: string
  readonly input: StandardSchemaV1 | undefined
  readonly onFailure: FailurePolicy
  /** @internal */
  readonly build: (w: Builder<never>) => unknown
  /** @internal */
  readonly nodes: readonly Node[]
  /** @internal As the database keeps it. */
  readonly plan: string
  readonly accepts?: (input: Input) => void
  readonly returns?: () => Output
}
