import { duration, integer, list, oneOf, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { isUuid } from "../../lib/uuid.ts"
import type { EventHub } from "../../client/hub.ts"
import { failure } from "../../model/errors.ts"
import { badPlugin, type AppContext, type Plugin } from "../../model/plugin.ts"
import type { RunningJob } from "../../model/running-job.ts"
import { cleanUp, watch } from "./background.ts"
import { Finishes } from "./finishes.ts"
import { graft, type Graft, type GraftOptions } from "./graft.ts"
import { initial } from "./migrations/0001.ts"
import { push, type PushWorkflowOptions } from "./push.ts"
import { summaryOf, workflowStates, type WorkflowSummary } from "./record.ts"
import { WorkflowReference, type References } from "./reference.ts"
import { routesOf } from "./routes.ts"
import { deleteWorkflows, listWorkflows, type ListFilter } from "./store.ts"
import type { Workflow } from "./workflow.ts"

const ruleOptions = {
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

/**
 * Workflows: give it to the app, `new Millrace({ plugins: [workflows()] })`, and push with it.
 *
 * @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION.
 */
export function workflows(given?: WorkflowsOptions): Workflows {
  const { sweep, maxSteps, maxSignals, prune } = parseOptions("workflows", workflowsOptions, given, {
    poll_interval: "sweep",
  })
  const rules = prune.map((rule, index) => ruleOf(rule, `workflows.prune[${index}]`))
  let home: References | undefined
  const attached = (): References => home ?? notAttached()
  const plugin: Workflows = {
    name: "workflow",
    migrations: [initial],
    tables: ["workflows", "workflow_steps", "workflow_signals"],
    attach(app) {
      const updated = (id: string, action: string) =>
        app.hub.emit("workflow.updated", { id, action }, { cluster: true })
      home = { app, finishes: new Finishes(app), maxSignals, updated }
    },
    run: (ctx, signal) => watch(ctx, signal, sweep),
    cleanup: (ctx) => cleanUp(ctx, rules),
    saved: (batch) => home && tell(home.app, batch),
    async push(workflow, ...[input, options]) {
      const { app } = attached()
      const [pushed] = await push(app, workflow, [input], options, maxSteps)
      if (!options?.tx && pushed!.fresh) app.hub.emit("workflow.created", { id: pushed!.id, name: workflow.name })
      return new WorkflowReference(attached(), pushed!.id, !pushed!.fresh)
    },
    async pushMany(workflow, inputs, options) {
      if (options && "id" in options) throw failure("MILLRACE_BAD_OPTION", "pushMany: an id belongs to one workflow.")
      const { app } = attached()
      const pushed = await push(app, workflow, inputs, options, maxSteps)
      if (!options?.tx) for (const { id } of pushed) app.hub.emit("workflow.created", { id, name: workflow.name })
      return pushed.map(({ id }) => new WorkflowReference(attached(), id))
    },
    get(id) {
      if (!isUuid(id))
        throw failure("MILLRACE_BAD_ID", `A workflow's id is a UUID, not ${JSON.stringify(id) ?? typeof id}.`)
      return new WorkflowReference(attached(), id.toLowerCase())
    },
    find: (filter) => find(attached().app, filter),
    async deleteAll(rule) {
      const { db, names } = attached().app
      const parsed = ruleOf(rule, "deleteAll")
      let removed = 0
      for (let some = 1_000; some === 1_000; removed += some) some = await deleteWorkflows(db, names, parsed, 1_000)
      return removed
    },
    graft: (job, build, options = {}) => graft(attached().app, job, build, options, maxSteps),
    get routes() {
      return routesOf(plugin)
    },
  }
  return plugin
}

function notAttached(): never {
  throw badPlugin("workflows() belongs to no app yet: new Millrace({ plugins: [workflows()] }).")
}

const ruleOf = (rule: unknown, where: string): ListFilter => parseOptions(where, ruleOptions, rule)

async function find({ db, names }: AppContext, filter: FindWorkflowsOptions | undefined): Promise<WorkflowPage> {
  const { cursor, limit, ...rule } = parseOptions("find", findWorkflowsOptions, filter)
  if (cursor !== undefined && !isUuid(cursor))
    throw failure("MILLRACE_BAD_CURSOR", "find: this cursor is none that a search returned.")
  const rows = await listWorkflows(db, names, rule, cursor, limit + 1)
  const page = rows.slice(0, limit)
  return { workflows: page.map(summaryOf), cursor: rows.length > limit ? page.at(-1)!.id : undefined }
}

/** Tells this process of steps that ended here; nothing is made where nobody listens. */
function tell(app: AppContext, batch: Parameters<NonNullable<Plugin["saved"]>>[0]): void {
  if (!(app.hub as EventHub).hears("workflow.step.completed")) return
  for (const { job, state } of batch) {
    const at = job.meta["workflow"] as { id: string; step: string } | undefined
    if (at && (state === "succeeded" || state === "failed" || state === "cancelled"))
      app.hub.emit("workflow.step.completed", { workflow: at.id, step: at.step, job: job.id, state })
  }
}
