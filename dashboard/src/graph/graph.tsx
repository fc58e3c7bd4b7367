// The steps as a graph. Arrows go along the edges, so that it needs no pointer; the table says the same.
import { useEffect, useMemo, useRef, useState, type KeyboardEvent, type WheelEvent } from "react"
import { Skeleton } from "../ui/loading.tsx"
import { Button } from "../ui/button.tsx"
import { Glyph, likeState } from "../ui/state.tsx"
import { useLayout } from "./use-layout.ts"

export interface GraphNode {
  key: string
  /** A word of states. */
  state: string
  note?: string
}

interface GraphProps {
  nodes: readonly GraphNode[]
  edges: readonly { from: string; to: string }[]
  chosen: string | undefined
  onChoose: (key: string) => void
}

const [wide, high] = [172, 38]

export function Graph({ nodes, edges, chosen, onChoose }: GraphProps) {
  const sized = useMemo(() => nodes.map(({ key }) => ({ key, width: wide, height: high })), [nodes])
  const layout = useLayout({ nodes: sized, edges })
  const [zoom, setZoom] = useState(1)
  const view = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const room = view.current?.clientWidth ?? 0
    if (layout && room > 0) setZoom(Math.min(1, Math.max(0.35, room / layout.width)))
  }, [layout])
  if (!layout) return <Skeleton rows={4} />
  const states = new Map(nodes.map((node) => [node.key, node]))
  const move = (event: KeyboardEvent, key: string) => {
    const to = neighbour(event.key, key, edges, layout.nodes)
    if (to === undefined) return
    event.preventDefault()
    onChoose(to)
    view.current?.querySelector<HTMLElement>(`[data-step="${CSS.escape(to)}"]`)?.focus()
  }
  const wheel = (event: WheelEvent) => {
    if (event.ctrlKey || event.metaKey) setZoom(Math.min(2, Math.max(0.2, zoom * (event.deltaY < 0 ? 1.1 : 0.9))))
  }
  const first = chosen ?? nodes[0]?.key
  return (
    <div className="graph">
      <div
        className="graph-view"
        ref={view}
        onWheel={wheel}
        tabIndex={0}
        role="group"
        aria-label="Graph of the steps; arrows go along the edges"
      >
        <svg width={layout.width * zoom} height={layout.height * zoom} viewBox={`0 0 ${layout.width} ${layout.height}`}>
          <g className="edges" aria-hidden="true">
            {layout.edges.map(({ from, to, points }) => (
              <path
                key={`${from}\0${to}`}
                d={pathOf(points)}
                className={edgeClass(states.get(from), chosen, from, to)}
              />
            ))}
          </g>
          {layout.nodes.map(({ key, x, y }) => {
            const node = states.get(key)
            if (!node) return null
            return (
              <g
                key={key}
                data-step={key}
                className={`step s-${likeState(node.state)}${chosen === key ? " chosen" : ""}`}
                transform={`translate(${x - wide / 2} ${y - high / 2})`}
                role="button"
                tabIndex={key === first ? 0 : -1}
                aria-pressed={chosen === key}
                onClick={() => onChoose(key)}
                onKeyDown={(event) => (event.key === "Enter" || event.key === " " ? onChoose(key) : move(event, key))}
              >
                {/* The name of the button as well: what stands on it, uncut, and its state, which is only drawn. */}
                <title>{[key, node.note, node.state].filter(Boolean).join(", ")}</title>
                <rect width={wide} height={high} rx="7" />
                <g className="glyph" transform="translate(10 12)">
                  <Glyph state={likeState(node.state)} />
                </g>
                <text x="32" y={node.note ? 16 : 23}>
                  {key.length > 20 ? `${key.slice(0, 19)}…` : key}
                </text>
                {node.note && (
                  <text x="32" y="30" className="note-text">
                    {node.note}
                  </text>
                )}
              </g>
            )
          })}
        </svg>
      </div>
      <div className="zoom">
        <Button small label="Smaller" onClick={() => setZoom(Math.max(0.2, zoom * 0.8))}>
          −
        </Button>
        <Button small icon="plus" label="Larger" onClick={() => setZoom(Math.min(2, zoom * 1.25))} />
      </div>
    </div>
  )
}

function pathOf(points: readonly { x: number; y: number }[]): string {
  const [start, ...rest] = points
  if (!start) return ""
  const end = rest.at(-1) ?? start
  const middle = (start.x + end.x) / 2
  if (rest.length <= 2) return `M${start.x} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`
  return `M${start.x} ${start.y}${rest.map(({ x, y }) => `L${x} ${y}`).join("")}`
}

const edgeClass = (from: GraphNode | undefined, chosen: string | undefined, a: string, b: string): string =>
  `${from && likeState(from.state) === "succeeded" ? "done" : ""}${chosen === a || chosen === b ? " near" : ""}`

function neighbour(
  pressed: string,
  key: string,
  edges: GraphProps["edges"],
  places: readonly { key: string; x: number; y: number }[],
): string | undefined {
  if (pressed === "ArrowRight") return edges.find(({ from }) => from === key)?.to
  if (pressed === "ArrowLeft") return edges.find(({ to }) => to === key)?.from
  if (pressed !== "ArrowDown" && pressed !== "ArrowUp") return undefined
  const here = places.find((place) => place.key === key)!
  const sign = pressed === "ArrowDown" ? 1 : -1
  return places
    .filter((place) => Math.abs(place.x - here.x) < wide && (place.y - here.y) * sign > 1)
    .sort((one, other) => Math.abs(one.y - here.y) - Math.abs(other.y - here.y))[0]?.key
}
