import { duration, integer, list, oneOf, text, value, type OptionsInput } from "../../lib/options.ts"
import type { Plugin } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import type { Workflow } from "./definition.ts"
import type { Graft, GraftOptions } from "./graft.ts"
import type { PushWorkflowOptions } from "./push.ts"
import { workflowStates, type WorkflowSummary } from "./record.ts"
import type { WorkflowReference } from "./reference.ts"

/* What the plugin can do, and the options of that. */

export const ruleOptions = {
  /** In one of these states. */
  state: list(oneOf(workflowStates, { doc: "A state." }), { min: 1, doc: "In one of these states." }),
  /** Of this name; `*` stands for anything. */
  name: text({ doc: "Of this name; `*` stands for anything." }),
  /** Finished at least so long ago. */
  olderThan: duration({ doc: "Finished at least so long ago." }),
}

export type WorkflowRule = OptionsInput<typeof ruleOptions>

export const workflowsOptions = {
  /** How often the leader looks for steps whose jobs were deleted. */
  sweep: duration({
    default: "10s",
    min: 50,
    max: 3_600_000,
    doc: "How often the leader looks for steps whose jobs were deleted.",
  }),
  /** Most steps of one workflow, without the items of maps. */
  maxSteps: integer({
    default: 10_000,
    min: 1,
    max: 100_000,
    doc: "Most steps of one workflow, without the items of maps.",
  }),
  /** Most signals kept for one workflow that nobody has waited for yet. */
  maxSignals: integer({
    default: 1_000,
    min: 1,
    max: 100_000,
    doc: "Most signals kept for one workflow that nobody has waited for yet.",
  }),
  /** Finished workflows that go before their retention is over: `[{ state: ["succeeded"], olderThan: "1h" }]`. */
  prune: list(value<WorkflowRule>({ type: "{ state, name, olderThan }", doc: "A rule." }), {
    default: [],
    doc: 'Finished workflows that go before their retention is over: `[{ state: ["succeeded"], olderThan: "1h" }]`.',
  }),
}

export type WorkflowsOptions = OptionsInput<typeof workflowsOptions>

export const findWorkflowsOptions = {
  ...ruleOptions,
  /** Behind the page that gave this. */
  cursor: text({ doc: "Behind the page that gave this." }),
  /** Most on a page. */
  limit: integer({ default: 50, min: 1, max: 1_000, doc: "Most on a page." }),
}

export type FindWorkflowsOptions = OptionsInput<typeof findWorkflowsOptions>

export interface WorkflowPage {
  readonly workflows: readonly WorkflowSummary[]
  /** For the next page; undefined on the last. */
  readonly cursor: string | undefined
}

/** The plugin, and what it can do. */
export interface Workflows extends Plugin {
  /**
   * Pushes a workflow. Resolves when it is committed (with `tx`: when it is part of your transaction).
   *
   * @throws MILLRACE_BAD_PAYLOAD when a schema refuses the input, or a payload that is known already; MILLRACE_BAD_JSON,
   *   MILLRACE_PAYLOAD_TOO_LARGE, MILLRACE_WORKFLOW_TOO_LARGE, MILLRACE_BAD_OPTION.
   */
  push<Input, Output>(
    workflow: Workflow<Input, Output>,
    ...[input, options]: undefined extends Input
      ? [input?: NoInfer<Input>, options?: PushWorkflowOptions]
      : [input: NoInfer<Input>, options?: PushWorkflowOptions]
  ): Promise<WorkflowReference<Output>>
  /** Pushes one workflow per input, from an array or any (async) iterable, many per statement. Throws what `push` throws. */
  pushMany<Input, Output>(
    workflow: Workflow<Input, Output>,
    inputs: Iterable<NoInfer<Input>> | AsyncIterable<NoInfer<Input>>,
    options?: Omit<PushWorkflowOptions, "id">,
  ): Promise<WorkflowReference<Output>[]>
  /** A handle on a workflow by its id. @throws MILLRACE_BAD_ID. */
  get<Output = unknown>(id: string): WorkflowReference<Output>
  /** Workflows, newest first, a page at a time. @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_CURSOR. */
  find(filter?: FindWorkflowsOptions): Promise<WorkflowPage>
  /** Deletes finished workflows by rule; returns how many went. */
  deleteAll(rule: WorkflowRule): Promise<number>
  /**
   * From inside a step: adds steps behind it, which start when it has succeeded. Another attempt of the step replaces them.
   *
   * @throws MILLRACE_LEASE_LOST, MILLRACE_BAD_WORKFLOW, MILLRACE_WORKFLOW_STATE, MILLRACE_WORKFLOW_TOO_LARGE.
   */
  graft(job: Pick<RunningJob, "id" | "claims">, build: Graft, options?: GraftOptions): Promise<void>
}
