import type { StandardSchemaV1 } from "@standard-schema/spec"
import { milliseconds } from "../../lib/duration.ts"
import { checkName } from "../../model/name.ts"
import { builder, type Scope } from "./builder.ts"
import type { Builder, Workflow } from "./definition.ts"
import { storedCondition } from "./conditions.ts"
import { arrange, badWorkflow, readersOf } from "./graph.ts"
import type { JobPlan, Node, Template } from "./node.ts"
import { parse, workflowOptions, type WorkflowOptions } from "./options.ts"
import { readsOf, record, ref, storedTemplate, type Unwired } from "./references.ts"

type ResultOf<Output> = [Output] extends [void] ? Record<string, unknown> : Unwired<Output>

/**
 * Defines a workflow: steps that are jobs, and what each of them needs. `build` runs once, now: what it writes down is data,
 * so that any worker can go on with any workflow. What it returns is the workflow's result; if nothing, the results of its
 * last steps by name.
 *
 * @example
 * export const order = workflow("order", z.object({ id: z.string(), cents: z.number() }), (w) => {
 *   const paid = w.step("charge", charge, { order: w.input.id, cents: w.input.cents })
 *   const mailed = w.step("mail", mail, { text: w.text`Order ${w.input.id} is paid: ${paid.result.receipt}` })
 *   return { receipt: paid.result.receipt, mail: mailed }
 * })
 *
 * @throws MILLRACE_BAD_WORKFLOW for steps that do not fit together, MILLRACE_BAD_NAME, MILLRACE_BAD_JSON,
 *   MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION.
 */
export function workflow<Schema extends StandardSchemaV1, Output>(
  name: string,
  input: Schema,
  build: (w: Builder<StandardSchemaV1.InferOutput<Schema>>) => Output,
  options?: WorkflowOptions,
): Workflow<StandardSchemaV1.InferInput<Schema>, ResultOf<Output>>
export function workflow<Input = undefined, Output = unknown>(
  name: string,
  build: (w: Builder<Input>) => Output,
  options?: WorkflowOptions,
): Workflow<Input, ResultOf<Output>>
export function workflow(name: string, ...given: readonly unknown[]): never {
  checkName("workflow.name", name)
  const [schema, build, options] = typeof given[0] === "function" ? [undefined, ...given] : given
  if (typeof build !== "function") throw badWorkflow(`workflow "${name}" needs a function that defines its steps.`)
  if (schema !== undefined && !isSchema(schema)) {
    throw badWorkflow(`workflow "${name}": its input is described by a Standard Schema (zod, valibot, arktype, …).`)
  }
  return define(name, schema, build as Workflow<never, never>["build"], options) as never
}

const isSchema = (given: unknown): given is StandardSchemaV1 =>
  given !== null && (typeof given === "object" || typeof given === "function") && "~standard" in given

function define(
  name: string,
  input: StandardSchemaV1 | undefined,
  build: Workflow<never, never>["build"],
  given: unknown,
): Workflow<never, unknown> {
  const { onFailure, retention } = parse(`workflow "${name}"`, workflowOptions, given)
  const scope: Scope = {
    workflow: name,
    nodes: new Map(),
    onFailure,
    prefix: "",
    input: ref({ from: "input", path: [] }),
    gate: undefined,
  }
  const output = build(builder(scope))
  const nodes = arrange(name, [...scope.nodes.values()])
  const result = record(output ?? resultsOf(lastOf(nodes)), `the result of workflow "${name}"`)
  for (const { node } of readsOf(result.holes ?? [])) {
    if (!nodes.includes(node)) throw badWorkflow(`workflow "${name}" returns the result of another workflow's step.`)
  }
  const plan = {
    keep_s: retention === "forever" ? -1 : Math.ceil(milliseconds(retention, `workflow "${name}".retention`) / 1_000),
    output: storedTemplate(result),
    last: lastOf(nodes).length,
    steps: storedSteps(nodes),
  }
  return Object.freeze({ name, input, onFailure, build, nodes, plan: JSON.stringify(plan) })
}

/** The steps that nobody waits for. */
function lastOf(nodes: readonly Node[]): readonly Node[] {
  const needed = new Set(nodes.flatMap((node) => [...node.needs.keys()]))
  return nodes.filter((node) => !needed.has(node))
}

const resultsOf = (nodes: readonly Node[]): Record<string, unknown> =>
  Object.fromEntries(nodes.map((node) => [node.key, ref({ from: "step", node, path: [], loose: true })]))

/** Steps as the database keeps them: numbers instead of nodes, dependants instead of dependencies. */
export function storedSteps(nodes: readonly Node[]): Record<string, unknown>[] {
  const own = new Set(nodes)
  const readers = readersOf(nodes)
  for (const node of nodes) {
    for (const need of node.needs.keys()) {
      if (!own.has(need)) throw badWorkflow(`step "${node.key}" reads "${need.key}", a step of another workflow.`)
    }
  }
  return nodes.map((node) => {
    const numbers = (strict: boolean) =>
      (readers.get(node) ?? []).flatMap((one) => (one.needs.get(node) === strict ? [one.step] : []))
    return {
      step: node.step,
      key: node.key,
      kind: node.kind,
      on_failure: node.onFailure,
      simple: node.kind === "job" && !node.when,
      undoable: node.kind === "job" && node.undo !== undefined,
      waits: node.needs.size,
      children: numbers(true),
      loose: numbers(false),
      plan: storedPlan(node),
    }
  })
}

function storedPlan({ kind, job, undo, when, template, settings }: Node): Record<string, unknown> {
  const { maxItems: most, ...rest } = settings
  return {
    ...(job && storedJob(job)),
    ...(kind === "value" && storedTemplate(template!)),
    ...(kind === "map" && { items: storedTemplate(template!), most }),
    ...(kind === "timer" && !("ms" in settings) && { until: storedTemplate(template!) }),
    ...(undo && { undo: storedJob(undo) }),
    ...(when && { when: storedCondition(when) }),
    ...rest,
  }
}

const storedJob = ({ kind, payload }: JobPlan): Record<string, unknown> => ({ ...storedTemplate(payload), job: kind })

/** The templates of a workflow's jobs, for checks before it is stored. */
export const payloadsOf = (
  nodes: readonly Node[],
): readonly { readonly key: string; readonly job: JobPlan; readonly payload: Template }[] =>
  nodes.flatMap(({ key, kind, job }) => (kind === "job" && job ? [{ key, job, payload: job.payload }] : []))
