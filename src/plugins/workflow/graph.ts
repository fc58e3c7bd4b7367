import { didYouMean } from "../../lib/nearest.ts"
import { failure } from "../../model/errors.ts"
import type { Node } from "./node.ts"

/*
 * Whether the steps of a workflow fit together, found out where it is defined: a workflow that cannot end is never stored.
 */

export const badWorkflow = (text: string) => failure("MILLRACE_BAD_WORKFLOW", text)

/**
 * Resolves names, refuses what is empty, unknown or circular, and numbers the steps so that each comes after those that it
 * waits for (from `base` on).
 *
 * @throws MILLRACE_BAD_WORKFLOW.
 */
export function arrange(name: string, nodes: readonly Node[], base = 0): readonly Node[] {
  if (nodes.length === 0) throw badWorkflow(`workflow "${name}" has no steps.`)
  const known = new Map(nodes.map((node) => [node.key, node]))
  for (const node of nodes) for (const key of node.after) resolve(name, known, node, key)
  const ordered = inOrder(name, nodes)
  ordered.forEach((node, index) => (node.step = base + index))
  return ordered
}

function resolve(name: string, known: ReadonlyMap<string, Node>, node: Node, key: string): void {
  const needed = known.get(key)
  if (needed) return void node.needs.set(needed, true)
  const hint = didYouMean(key, known.keys())
  throw badWorkflow(`workflow "${name}": step "${node.key}" comes after "${key}", which is not there.${hint}`)
}

/** Those that wait for nothing first, otherwise as they were defined. */
function inOrder(name: string, nodes: readonly Node[]): Node[] {
  const own = new Set(nodes)
  const waits = new Map(nodes.map((node) => [node, [...node.needs.keys()].filter((need) => own.has(need)).length]))
  const readers = readersOf(nodes)
  const ordered: Node[] = []
  let ready = nodes.filter((node) => waits.get(node) === 0)
  while (ready.length > 0) {
    const next: Node[] = []
    for (const node of ready) {
      ordered.push(node)
      for (const reader of readers.get(node) ?? []) {
        const left = waits.get(reader)! - 1
        waits.set(reader, left)
        if (left === 0) next.push(reader)
      }
    }
    ready = next
  }
  if (ordered.length === nodes.length) return ordered
  const done = new Set(ordered)
  const path = circle(nodes.filter((node) => !done.has(node)))
  throw badWorkflow(`workflow "${name}": steps wait for each other in a circle: ${path.join(" → ")}.`)
}

/** Who waits for each step. */
export function readersOf(nodes: readonly Node[]): Map<Node, Node[]> {
  const readers = new Map<Node, Node[]>()
  for (const node of nodes) {
    for (const need of node.needs.keys()) {
      const known = readers.get(need)
      if (known) known.push(node)
      else readers.set(need, [node])
    }
  }
  return readers
}

/** Every one of these waits for another one of them, or for one that does: following the waits leads round. */
function circle(left: readonly Node[]): string[] {
  const path: Node[] = []
  let node = left[0]!
  while (!path.includes(node)) {
    path.push(node)
    node = [...node.needs.keys()].find((need) => left.includes(need))!
  }
  const round = path.slice(path.indexOf(node)).reverse()
  return [round.at(-1)!, ...round].map((one) => one.key)
}
