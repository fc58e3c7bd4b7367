// The plans that PostgreSQL uses inside the functions, as auto_explain tells them to the session that calls.
import type { Session } from "./session.ts"

export interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Index Name"?: string
  readonly "Parent Relationship"?: string
  readonly "Actual Rows": number
  readonly "Actual Loops": number
  readonly "Rows Removed by Filter"?: number
  readonly "Rows Removed by Index Recheck"?: number
  readonly "Shared Hit Blocks"?: number
  readonly "Shared Read Blocks"?: number
  readonly Plans?: readonly Node[]
}

export interface Plan {
  readonly query: string
  readonly nodes: readonly Node[]
  /** A tree of node types, for messages. */
  readonly text: string
}

/** From now on every statement of the session, nested ones included, can be heard of. */
export async function explainAll(session: Session): Promise<void> {
  await session.db.query("load 'auto_explain'")
  const settings = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
    client_min_messages: "log",
  }
  for (const [name, value] of Object.entries(settings)) {
    await session.db.query("select set_config($1, $2, false)", [name, value])
  }
}

/** Runs something on an explaining session and returns the plans of what ran nested in it, or of itself. */
export async function plansOf(session: Session, run: () => Promise<unknown>): Promise<Plan[]> {
  const plans: Plan[] = []
  const hear = ({ message }: { message?: string | undefined }) => {
    const json = /plan:\s*(\{.*\})\s*$/s.exec(message ?? "")?.[1]
    if (json === undefined) return
    const { "Query Text": query, Plan: plan } = JSON.parse(json) as { "Query Text": string; Plan: Node }
    plans.push({ query: query.replaceAll(/\s+/g, " ").trim(), nodes: flat(plan), text: treeOf(plan) })
  }
  session.client.on("notice", hear)
  try {
    await run()
    // Notices of one statement arrive before its end; a further round trip makes sure of the last.
    await session.db.query("select 1 as done")
  } finally {
    session.client.off("notice", hear)
  }
  return plans.filter(({ query }) => query !== "select 1 as done")
}

const flat = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(flat)]

function treeOf(node: Node, depth = 0): string {
  const { "Relation Name": relation, "Index Name": index } = node
  const on = [relation && `on ${relation}`, index && `using ${index}`].filter(Boolean).join(" ")
  const line = `${"  ".repeat(depth)}${node["Node Type"]} ${on} rows=${node["Actual Rows"]}x${node["Actual Loops"]} read=${readBy(node)}`
  return [line, ...(node.Plans ?? []).map((child) => treeOf(child, depth + 1))].join("\n")
}

/** Rows that a scan looked at, whether it passed them on or not. */
export const readBy = (node: Node): number =>
  (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0)) *
  node["Actual Loops"]

export const isScan = (node: Node): boolean => node["Relation Name"] !== undefined && node["Node Type"].endsWith("Scan")

/** Scans of the big tables that were carried out. */
export const bigScans = ({ nodes }: Plan): Node[] =>
  nodes.filter((node) => isScan(node) && node["Actual Loops"] > 0 && /^jobs(_history|$)/.test(node["Relation Name"]!))

export const buffers = (plans: readonly Plan[]): number =>
  plans.reduce(
    (sum, { nodes }) => sum + (nodes[0]!["Shared Hit Blocks"] ?? 0) + (nodes[0]!["Shared Read Blocks"] ?? 0),
    0,
  )
