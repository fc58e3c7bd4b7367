import type { AnyDefinition } from "../../model/pushable.ts"

/** What happens when a step has failed for good, or its job was cancelled. */
export type FailurePolicy = "fail" | "skip" | "continue" | "compensate"

export const failurePolicies = ["fail", "skip", "continue", "compensate"] as const

export type NodeKind = "job" | "map" | "value" | "timer" | "signal"

/** A job to be made when a step starts. */
export interface JobPlan {
  readonly definition: AnyDefinition
  /** As `kindOf` makes it, parsed. */
  readonly kind: Record<string, unknown>
  readonly payload: Template
}

/** A step while its workflow is defined. */
export interface Node {
  readonly key: string
  readonly kind: NodeKind
  onFailure: FailurePolicy
  /** Its number, once all steps are known. */
  step: number
  /** What it waits for; true: it needs their success. */
  readonly needs: Map<Node, boolean>
  /** Names of steps that it waits for, which may be defined later. */
  readonly after: readonly string[]
  readonly when: Condition | undefined
  readonly job: JobPlan | undefined
  undo: JobPlan | undefined
  /** Of a value, a timer, or a map's list. */
  readonly template: Template | undefined
  readonly settings: Readonly<Record<string, unknown>>
}

/** Where a value comes from, while the workflow is defined. */
export interface Source {
  readonly from: "input" | "step" | "item" | "index" | "result" | "text"
  readonly path: readonly string[]
  readonly node?: Node
  /** The reader runs even if that step was skipped or failed. */
  readonly loose?: boolean
  readonly parts?: readonly unknown[]
}

/** A value with its stand-ins, as it is kept: JSON with holes, and what fills them. */
export interface Template {
  readonly json: unknown
  readonly holes?: readonly Hole[]
}

export interface Hole extends Source {
  readonly at: readonly string[]
  /** A property that is left out when there is no value. */
  readonly optional?: boolean
}

export type Operator = "eq" | "ne" | "lt" | "lte" | "gt" | "gte" | "in" | "exists" | "all" | "any" | "not"

/** Made by `condition.…`. */
export interface Condition {
  readonly op: Operator
  readonly left?: unknown
  readonly right?: unknown
  readonly of?: readonly Condition[]
}
