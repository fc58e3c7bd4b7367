import type { StepRecord, StepState, WorkflowRecord, WorkflowState } from "./record.ts"

/** A workflow as a picture: what the dashboard draws. */
export interface Graph {
  readonly name: string
  readonly state: WorkflowState
  readonly nodes: readonly {
    readonly key: string
    readonly kind: StepRecord["kind"]
    readonly state: StepState
    readonly jobState: StepRecord["jobState"]
    readonly items: StepRecord["items"]
  }[]
  readonly edges: readonly { readonly from: string; readonly to: string }[]
}

export const graphOf = ({ name, state, steps }: WorkflowRecord): Graph => ({
  name,
  state,
  nodes: steps.map(({ key, kind, state: at, jobState, items }) => ({ key, kind, state: at, jobState, items })),
  edges: steps.flatMap(({ key, needs }) => needs.map((from) => ({ from, to: key }))),
})

const colours: Record<StepState, string> = {
  waiting: "#e5e7eb",
  active: "#bfdbfe",
  succeeded: "#bbf7d0",
  failed: "#fecaca",
  cancelled: "#fed7aa",
  skipped: "#f3f4f6",
}

type GraphNode = Graph["nodes"][number]

const labelOf = ({ key, state, jobState, items }: GraphNode): readonly string[] => [
  key,
  jobState ?? state,
  ...(items ? [`${items.ended} of ${items.total}`] : []),
]

/** Text for Graphviz. */
export function dot({ name, nodes, edges }: Graph): string {
  const lines = nodes.map(
    (node) => `  ${dotText(node.key)} [label=${dotText(labelOf(node).join("\n"))}, fillcolor="${colours[node.state]}"]`,
  )
  const arrows = edges.map(({ from, to }) => `  ${dotText(from)} -> ${dotText(to)}`)
  const style = ["  rankdir=LR", '  node [shape=box, style="rounded,filled", fontname="sans-serif"]']
  return `digraph ${dotText(name)} {\n${[...style, ...lines, ...arrows].join("\n")}\n}\n`
}

const dotText = (text: string): string =>
  `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`

/** Text for Mermaid. Steps are numbered, since their names may hold what its names may not. */
export function mermaid({ nodes, edges }: Graph): string {
  const ids = new Map(nodes.map(({ key }, index) => [key, `s${index}`]))
  const boxes = nodes.map(
    (node) => `  ${ids.get(node.key)}["${labelOf(node).map(mermaidText).join("<br>")}"]:::${node.state}`,
  )
  const arrows = edges.map(({ from, to }) => `  ${ids.get(from)} --> ${ids.get(to)}`)
  const classes = Object.entries(colours).map(([state, colour]) => `  classDef ${state} fill:${colour},color:#111827`)
  return `flowchart LR\n${[...boxes, ...arrows, ...classes].join("\n")}\n`
}

const mermaidText = (text: string): string => text.replaceAll(/["#<>&]/g, (letter) => `#${letter.codePointAt(0)};`)
