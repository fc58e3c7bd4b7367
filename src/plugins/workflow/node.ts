import type { AnyDefinition } from "../../model/pushable.ts"
import type { Condition } from "./conditions.ts"
import type { Template } from "./references.ts"

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
