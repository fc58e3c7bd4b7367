import type { EventHub } from "../../client/hub.ts"
import { parseOptions } from "../../lib/options.ts"
import { isUuid } from "../../lib/uuid.ts"
import { failure } from "../../model/errors.ts"
import { badPlugin, type AppContext, type Plugin } from "../../model/plugin.ts"
import {
  findWorkflowsOptions,
  ruleOptions,
  workflowsOptions,
  type FindWorkflowsOptions,
  type WorkflowPage,
  type Workflows,
  type WorkflowsOptions,
} from "./api.ts"
import { cleanUp, watch } from "./background.ts"
import { Finishes } from "./finishes.ts"
import { graft } from "./graft.ts"
import { initial } from "./migrations/0001.ts"
import { push } from "./push.ts"
import { summaryOf } from "./record.ts"
import { WorkflowReference, type References } from "./reference.ts"
import { routesOf } from "./routes.ts"
import { deleteWorkflows, listWorkflows, type ListFilter } from "./store.ts"

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
