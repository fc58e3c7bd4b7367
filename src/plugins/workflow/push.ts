import { backoffDelay } from "../../lib/backoff.ts"
import { parseOptions, value, type OptionsInput, type OptionSpec } from "../../lib/options.ts"
import { abortableSleep } from "../../lib/signal.ts"
import { showPush } from "../../client/pushing.ts"
import { uuidv7 } from "../../lib/uuid.ts"
import type { CallerTransaction, Connection } from "../../model/database.ts"
import { refused } from "../../model/definition.ts"
import { failure } from "../../model/errors.ts"
import { pushOptions } from "../../model/job-options.ts"
import type { AppContext } from "../../model/plugin.ts"
import type { AnyDefinition } from "../../model/pushable.ts"
import { fromTransaction } from "../../postgres/adapters/pg.ts"
import { verdict } from "../../postgres/sqlstate.ts"
import { badWorkflow } from "./graph.ts"
import { fillFromInput } from "./references.ts"
import { jsonOf } from "./reference.ts"
import { start } from "./store.ts"
import type { Workflow } from "./definition.ts"
import { payloadsOf } from "./workflow.ts"

export const pushWorkflowOptions: {
  readonly id: OptionSpec<string, string | undefined>
  readonly tx: OptionSpec<CallerTransaction, CallerTransaction | undefined>
} = {
  /** The workflow's id: a push that is sent again with its id is the same push. */
  id: { ...pushOptions.id, doc: "The workflow's id: a push that is sent again with its id is the same push." },
  /** Your own open transaction: the workflow exists when you commit. */
  tx: value<CallerTransaction>({
    type: "client",
    doc: "Your own open transaction: the workflow exists when you commit.",
  }),
}

export type PushWorkflowOptions = OptionsInput<typeof pushWorkflowOptions>

/** Rows of one statement. */
const most = 10_000
const retries = { initial: 20, factor: 2, max: 2_000, jitter: "full" } as const
const patience = 30_000

/** Stores workflows, having checked them. Returns id and whether it is new, in the order of the inputs. */
export async function push(
  app: AppContext,
  workflow: Workflow<never, unknown>,
  inputs: Iterable<unknown> | AsyncIterable<unknown>,
  given: unknown,
  maxSteps: number,
): Promise<{ id: string; fresh: boolean }[]> {
  const { id, tx } = parseOptions("push", pushWorkflowOptions, given)
  checkSize(workflow, maxSteps)
  const db = tx ? fromTransaction(tx) : app.db
  let plan: string | undefined
  const size = Math.max(1, Math.floor(most / workflow.nodes.length))
  const pushed: { id: string; fresh: boolean }[] = []
  let ids: string[] = []
  let texts: string[] = []
  const flush = async () => {
    if (ids.length === 0) return
    plan ??= planFor(app, workflow, texts[0]!)
    const made = await store(app, db, tx === undefined, { name: workflow.name, plan }, ids, texts)
    pushed.push(...ids.map((one) => ({ id: one, fresh: made.has(one) })))
    ids = []
    texts = []
  }
  for await (const input of inputs) {
    texts.push(await inputText(app, workflow, input))
    if (ids.push(id ?? uuidv7()) === size) await flush()
  }
  await flush()
  return pushed
}

/** The plan, with what plugins add to the meta of what is pushed (a trace, say) in the meta of each job. */
function planFor(app: AppContext, { name, plan, nodes }: Workflow<never, unknown>, input: string): string {
  if (!app.plugins.some((plugin) => plugin.pushing)) return plan
  const meta: Record<string, unknown> = {}
  const queue = (nodes.find(({ job }) => job)?.job?.kind["queue"] as string | undefined) ?? "default"
  showPush(app.plugins, app.log, { name, queue, payload: JSON.parse(input), meta })
  if (Object.keys(meta).length === 0) return plan
  const parsed = JSON.parse(plan) as { steps: { plan: { job?: Job; undo?: { job: Job } } }[] }
  for (const step of parsed.steps)
    for (const job of [step.plan.job, step.plan.undo?.job]) if (job) job.meta = { ...meta, ...job.meta }
  return JSON.stringify(parsed)
}

/** The kind of a job, as stored. */
interface Job {
  meta?: Record<string, unknown>
}

function checkSize(workflow: Workflow<never, unknown>, maxSteps: number): void {
  if (typeof workflow?.plan !== "string")
    throw badWorkflow("push: the first argument must be a workflow, made by workflow(…).")
  if (workflow.nodes.length <= maxSteps) return
  const text = `Workflow "${workflow.name}" has ${workflow.nodes.length} steps, over the limit of ${maxSteps}: use a map for what is alike, or raise \`maxSteps\`.`
  throw failure("MILLRACE_WORKFLOW_TOO_LARGE", text)
}

/** Sent again under the same ids until the database has confirmed it; inside the caller's transaction, once. */
async function store(
  app: AppContext,
  db: Connection,
  again: boolean,
  { name, plan }: { readonly name: string; readonly plan: string },
  ids: readonly string[],
  inputs: readonly string[],
): Promise<Set<string>> {
  const sorted = [...ids.keys()].sort((a, b) => (ids[a]! < ids[b]! ? -1 : 1))
  const given = { ids: sorted.map((at) => ids[at]!), name, plan, inputs: sorted.map((at) => inputs[at]!) }
  const deadline = performance.now() + patience
  for (let failures = 1; ; failures++) {
    try {
      return await start(db, app.names, given)
    } catch (error) {
      const wait = backoffDelay(retries, failures)
      if (!again || verdict(error) !== "retry" || performance.now() + wait > deadline) throw error
      await abortableSleep(wait)
    }
  }
}

/** What the schema makes of the input, as it is stored. @throws MILLRACE_BAD_PAYLOAD, MILLRACE_BAD_JSON, MILLRACE_PAYLOAD_TOO_LARGE. */
async function inputText(app: AppContext, workflow: Workflow<never, unknown>, given: unknown): Promise<string> {
  const checked = await checkedInput(workflow, given)
  const text = checked === undefined ? "null" : jsonOf(checked, `The input of workflow "${workflow.name}"`)
  if (Buffer.byteLength(text) > app.config.maxPayload) {
    throw failure(
      "MILLRACE_PAYLOAD_TOO_LARGE",
      `The input of workflow "${workflow.name}" is over the limit of ${app.config.maxPayload} bytes of JSON. Store the data elsewhere and push a reference to it, or raise \`maxPayload\`.`,
    )
  }
  await checkPayloads(workflow, JSON.parse(text))
  return text
}

async function checkedInput(workflow: Workflow<never, unknown>, given: unknown): Promise<unknown> {
  if (!workflow.input) return given
  const result = await workflow.input["~standard"].validate(given)
  if (result.issues) throw refused({ name: workflow.name } as AnyDefinition, result.issues)
  return result.value
}

/** Payloads that are known already are put through their schemas now, not when it is too late. */
async function checkPayloads(workflow: Workflow<never, unknown>, input: unknown): Promise<void> {
  for (const { key, job, payload } of payloadsOf(workflow.nodes)) {
    const schema = job.definition.payloadSchema
    const filled = schema && fillFromInput(payload, input)
    if (!filled) continue
    const result = await schema["~standard"].validate(filled.value)
    if (result.issues)
      throw refused({ ...job.definition, name: `${job.definition.name}" of step "${key}` }, result.issues)
  }
}
