// Lays a graph out away from the page's thread: dagre takes a second for some hundred steps.
import dagre from "@dagrejs/dagre"

export interface LayoutRequest {
  id: number
  nodes: readonly { key: string; width: number; height: number }[]
  edges: readonly { from: string; to: string }[]
}

export interface LayoutResult {
  id: number
  width: number
  height: number
  nodes: readonly { key: string; x: number; y: number }[]
  edges: readonly { from: string; to: string; points: readonly { x: number; y: number }[] }[]
}

/** Beyond these dagre takes too long; then steps stand in columns by how far they are from the start. */
const mostForDagre = 400

self.addEventListener("message", ({ data }: MessageEvent<LayoutRequest>) => {
  self.postMessage(data.nodes.length > mostForDagre ? inColumns(data) : byDagre(data))
})

function byDagre({ id, nodes, edges }: LayoutRequest): LayoutResult {
  const graph = new dagre.graphlib.Graph()
  graph.setGraph({
    rankdir: "LR",
    nodesep: 14,
    ranksep: 48,
    marginx: 12,
    marginy: 12,
    ranker: nodes.length > 150 ? "longest-path" : "network-simplex",
  })
  graph.setDefaultEdgeLabel(() => ({}))
  for (const { key, width, height } of nodes) graph.setNode(key, { width, height })
  for (const { from, to } of edges) graph.setEdge(from, to)
  dagre.layout(graph)
  const { width = 0, height = 0 } = graph.graph()
  return {
    id,
    width,
    height,
    nodes: nodes.map(({ key }) => ({ key, x: graph.node(key).x, y: graph.node(key).y })),
    edges: edges.map(({ from, to }) => ({ from, to, points: graph.edge(from, to).points ?? [] })),
  }
}

function inColumns({ id, nodes, edges }: LayoutRequest): LayoutResult {
  const [wide, high] = [nodes[0]?.width ?? 160, nodes[0]?.height ?? 36]
  const column = new Map(nodes.map(({ key }) => [key, 0]))
  // Steps come after those that they wait for, so one pass finds the longest way to each.
  const before = new Map<string, string[]>()
  for (const { from, to } of edges) before.set(to, [...(before.get(to) ?? []), from])
  for (const { key } of nodes) {
    column.set(key, Math.max(0, ...(before.get(key) ?? []).map((from) => (column.get(from) ?? 0) + 1)))
  }
  const filled = new Map<number, number>()
  const placed = nodes.map(({ key }) => {
    const at = column.get(key)!
    const row = filled.get(at) ?? 0
    filled.set(at, row + 1)
    return { key, x: 12 + wide / 2 + at * (wide + 64), y: 12 + high / 2 + row * (high + 10) }
  })
  const places = new Map(placed.map((one) => [one.key, one]))
  const ends = edges.map(({ from, to }) => {
    const [a, b] = [places.get(from)!, places.get(to)!]
    return {
      from,
      to,
      points: [
        { x: a.x + wide / 2, y: a.y },
        { x: b.x - wide / 2, y: b.y },
      ],
    }
  })
  const columns = Math.max(1, ...filled.keys()) + 1
  return {
    id,
    width: columns * (wide + 64) + 24,
    height: Math.max(1, ...filled.values()) * (high + 10) + 24,
    nodes: placed,
    edges: ends,
  }
}
