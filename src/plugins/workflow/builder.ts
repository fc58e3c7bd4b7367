import { milliseconds } from "../../lib/duration.ts"
import { checkName } from "../../model/name.ts"
import type { AnyDefinition } from "../../model/pushable.ts"
import { sourcesOf } from "./conditions.ts"
import { badWorkflow } from "./graph.ts"
import type { FailurePolicy, JobPlan, Node, NodeKind, Source, Template } from "./node.ts"
import { groupOptions, jobPlan, mapOptions, parse, stepOptions, waitOptions } from "./options.ts"
import type { Builder, Step, UndoOptions } from "./definition.ts"
import { markSource, readsOf, record, ref, sourceOf } from "./references.ts"

/** Where a builder puts its steps. */
export interface Scope {
  readonly workflow: string
  readonly nodes: Map<string, Node>
  readonly onFailure: FailurePolicy
  readonly prefix: string
  readonly input: unknown
  /** What every step of a group waits for. */
  readonly gate: Node | undefined
}

const handles = new WeakMap<object, Node>()

interface Parts {
  readonly when?: Node["when"]
  readonly after?: unknown
  readonly onFailure?: FailurePolicy | undefined
  readonly template?: Template
  readonly job?: JobPlan
  readonly settings?: Node["settings"]
}

function addNode(scope: Scope, name: string, kind: NodeKind, parts: Parts): Node {
  const key = scope.prefix + checkName(`workflow "${scope.workflow}": name of a step`, name)
  if (scope.nodes.has(key)) throw badWorkflow(`workflow "${scope.workflow}" has two steps called "${key}".`)
  const node: Node = {
    key,
    kind,
    onFailure: parts.onFailure ?? scope.onFailure,
    step: -1,
    needs: new Map(),
    after: named(scope, parts.after),
    when: parts.when,
    job: parts.job,
    undo: undefined,
    template: parts.template,
    settings: parts.settings ?? {},
  }
  if (scope.gate) node.needs.set(scope.gate, true)
  for (const { node: read, loose } of readsOf(readBy(node, parts.after))) {
    node.needs.set(read, !loose || node.needs.get(read) === true)
  }
  scope.nodes.set(key, node)
  return node
}

const listOf = (after: unknown): readonly unknown[] =>
  after === undefined ? [] : Array.isArray(after) ? after : [after]

const named = (scope: Scope, after: unknown): string[] =>
  listOf(after).flatMap((one) => (typeof one === "string" ? [scope.prefix + one] : []))

function* readBy({ key, job, template, when }: Node, after: unknown): Generator<Source> {
  yield* job?.payload.holes ?? []
  yield* template?.holes ?? []
  if (when) yield* sourcesOf(when)
  for (const one of listOf(after)) {
    const from = sourceOf(one)
    if (from) yield from
    else if (typeof one !== "string") throw badWorkflow(`step "${key}": after names steps, or is made of steps.`)
  }
}

function handle<Result>(node: Node): Step<Result> {
  const from: Source = { from: "step", node, path: [] }
  const step = markSource({ key: node.key, result: ref(from), maybe: ref({ ...from, loose: true }) }, from)
  handles.set(step, node)
  return step as unknown as Step<Result>
}

/** A step with `undo`, whose payload may read what it returned. */
function undoable(node: Node, ...args: readonly unknown[]): never {
  const step = handle(node) as Step<unknown> & { undo?: unknown }
  step.undo = (job: AnyDefinition, payload: (...given: readonly unknown[]) => unknown, given?: UndoOptions) => {
    const where = `undo of "${node.key}"`
    const template = record(payload(ref({ from: "result", path: [] }), ...args), where)
    node.undo = jobPlan(job, template, parse(where, stepOptions, given))
    return step
  }
  return step as never
}

export function builder(scope: Scope): Builder<never> {
  const where = (key: string) => `workflow "${scope.workflow}": step "${scope.prefix}${key}"`
  const item = ref({ from: "item", path: [] })
  const index = ref({ from: "index", path: [] })
  const value = (key: string, given: unknown, options: unknown, kind: NodeKind, settings: Node["settings"] = {}) => {
    const { after, when } = parse(where(key), groupOptions, options) as Parts
    return addNode(scope, key, kind, { after, when, template: record(given, where(key)), settings })
  }
  const w: Builder<unknown> = {
    input: scope.input as never,
    step(key: string, job: AnyDefinition, payload?: unknown, given?: unknown) {
      const options = parse(where(key), stepOptions, given) as Parts & Record<string, unknown>
      const { after, when, onFailure } = options
      return undoable(
        addNode(scope, key, "job", { after, when, onFailure, job: jobPlan(job, record(payload, where(key)), options) }),
      )
    },
    map(key, job, list, payload, given) {
      const options = parse(where(key), mapOptions, given) as Parts & Record<string, unknown>
      const { after, when, onFailure, window, maxItems } = options
      const plan = jobPlan(job, record(payload(item, index), where(key)), options)
      const template = record(list, where(key))
      return undoable(
        addNode(scope, key, "map", { after, when, onFailure, job: plan, template, settings: { window, maxItems } }),
        item,
        index,
      )
    },
    group(key, build, options) {
      const gate = value(`${key}.start`, null, options, "value")
      return collect(scope, key, build, { ...scope, gate }) as never
    },
    run(key, workflow, input, options) {
      const gate = value(`${key}.input`, input, options, "value")
      const inside = {
        ...scope,
        gate,
        input: ref({ from: "step", node: gate, path: [] }),
        onFailure: workflow.onFailure,
      }
      return collect(scope, key, workflow.build, inside) as never
    },
    value: (key, given, options) => handle(value(key, given, options, "value")),
    sleep: (key, time, options) => handle(value(key, null, options, "timer", { ms: milliseconds(time, where(key)) })),
    sleepUntil: (key, moment, options) => handle(value(key, moment, options, "timer")),
    waitFor(key, given) {
      const { after, when, onFailure, signal, timeout } = parse(where(key), waitOptions, given)
      const settings = { signal: signal ?? scope.prefix + key, ...(timeout !== undefined && { timeout }) }
      return handle(addNode(scope, key, "signal", { after, ...(when && { when }), onFailure, settings }))
    },
    sequence(...steps) {
      const nodes = steps.map((step) => handles.get(step) ?? refuse(scope))
      nodes.forEach((node, at) => at > 0 && node.needs.set(nodes[at - 1]!, true))
      return steps.at(-1) as never
    },
    text(strings, ...values) {
      const parts = strings.flatMap((text, at) => (at < values.length ? [text, values[at]] : [text]))
      return ref({ from: "text", path: [], parts })
    },
  }
  return w as Builder<never>
}

const refuse = ({ workflow }: Scope): never => {
  throw badWorkflow(`workflow "${workflow}": a sequence is made of steps.`)
}

/** Builds the steps inside, and the one that stands for all of them. */
function collect(outer: Scope, key: string, build: (w: Builder<never>) => unknown, inner: Scope): Step<unknown> {
  const before = new Set(outer.nodes.values())
  const output = build(builder({ ...inner, prefix: `${outer.prefix}${key}.` }))
  const inside = [...outer.nodes.values()].filter((node) => !before.has(node))
  if (inside.length === 0) throw badWorkflow(`workflow "${outer.workflow}": "${outer.prefix}${key}" has no steps.`)
  const node = addNode(outer, key, "value", { template: record(output, `the result of "${outer.prefix}${key}"`) })
  for (const one of inside) if (!node.needs.has(one)) node.needs.set(one, false)
  node.needs.set(inner.gate!, true)
  return handle(node)
}
