// Lines over time on a canvas (uPlot), with the same figures as a table for those who do not see it. Dragging picks a time.
import { useEffect, useRef, useState } from "react"
import uPlot from "uplot"
import "uplot/dist/uPlot.min.css"
import { clockTime } from "../format.ts"
import type { Mark } from "../api/marks.ts"
import { isDark, usePreferences } from "../preferences.ts"

export interface Line {
  label: string
  /** A custom property, such as --running. */
  color: string
  values: readonly (number | null)[]
}

export interface LinesProps {
  label: string
  times: readonly string[]
  lines: readonly Line[]
  format: (value: number) => string
  log?: boolean
  marks?: readonly Mark[]
  onPick?: (from: Date, to: Date) => void
}

const none: readonly Mark[] = []

const cursors = uPlot.sync("time")

export function Lines(props: LinesProps) {
  const { label, times, lines, format, marks = none } = props
  // Read when it is drawn, which is more often than it is made.
  const drawn = useRef(marks)
  drawn.current = marks
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const [asTable, setAsTable] = useState(false)
  const dark = (usePreferences(), isDark())
  const shape = `${lines.map((line) => line.label).join("|")} ${dark} ${props.log} ${asTable}`
  useEffect(() => {
    const view = box.current
    if (!view || asTable) return
    const made = new uPlot(
      optionsOf(props, view.clientWidth, () => drawn.current),
      dataOf(times, lines),
      view,
    )
    plot.current = made
    const resize = new ResizeObserver(() => made.setSize({ width: view.clientWidth, height: 176 }))
    resize.observe(view)
    return () => {
      resize.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [shape])
  useEffect(() => plot.current?.setData(dataOf(times, lines)), [times, lines])
  useEffect(() => plot.current?.redraw(false), [marks])
  const newest = (line: Line) => line.values.findLast((value) => value !== null) ?? null
  return (
    <figure className="chart lines">
      <figcaption className="row">
        <h2>{label}</h2>
        <ul className="row legend">
          {lines.map((line) => (
            <li key={line.label}>
              <i style={{ background: `var(${line.color})` }} />
              {line.label}
              <b>{newest(line) === null ? "–" : format(newest(line)!)}</b>
            </li>
          ))}
        </ul>
        <span className="grow" />
        <button
          type="button"
          className="button ghost small"
          aria-pressed={asTable}
          onClick={() => setAsTable(!asTable)}
        >
          Table
        </button>
      </figcaption>
      {asTable ? (
        <Figures times={times} lines={lines} format={format} label={label} />
      ) : (
        <div
          ref={box}
          className="canvas"
          role="img"
          aria-label={`${label}: ${lines.map((line) => `${line.label} ${newest(line) ?? "–"}`).join(", ")}`}
        />
      )}
    </figure>
  )
}

function Figures({ times, lines, format, label }: Pick<LinesProps, "times" | "lines" | "format" | "label">) {
  const rows = times.map((at, index) => ({ at, index })).reverse()
  return (
    <div className="figures" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th>Time</th>
            {lines.map((line) => (
              <th key={line.label} className="right">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ at, index }) => (
            <tr key={at}>
              <td>{clockTime(at, { second: undefined })}</td>
              {lines.map((line) => {
                const value = line.values[index] ?? null
                return (
                  <td key={line.label} className="right">
                    {value === null ? "–" : format(value)}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const dataOf = (times: readonly string[], lines: readonly Line[]): uPlot.AlignedData => [
  times.map((at) => Date.parse(at) / 1_000),
  ...lines.map((line) => [...line.values]),
]

/** A canvas reads no custom properties: they are looked up when it is made. */
const colorOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** Lines of a logarithmic grid at the powers of ten alone. */
const tens = (_: uPlot, splits: number[]): (number | null)[] =>
  splits.map((value) => (Number.isInteger(Math.log10(value)) ? value : null))

/** A dashed line per mark, behind nothing: there are few. */
function drawMarks({ ctx, bbox, scales, valToPos }: uPlot, marks: readonly Mark[], color: string): void {
  ctx.save()
  ctx.strokeStyle = color
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio])
  for (const { at } of marks) {
    const time = Date.parse(at) / 1_000
    if (time < (scales.x?.min ?? 0) || time > (scales.x?.max ?? 0)) continue
    const x = Math.round(valToPos(time, "x", true))
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
  }
  ctx.restore()
}

/** Where dots are too dense to be drawn, those still are that no line leads to. */
const alone = ({ data }: uPlot, series: number, show: boolean): number[] | null => {
  if (show) return null
  const values = data[series]!
  const lonely = (index: number) => values[index] != null && values[index - 1] == null && values[index + 1] == null
  return [...values.keys()].filter(lonely)
}

/** Between whole numbers there is nothing to say twice. */
function labelsOf(splits: readonly (number | null)[], format: (value: number) => string): string[] {
  const all = splits.map((value) => (value === null ? "" : format(value)))
  return all.map((text, index) => (text === all[index - 1] ? "" : text))
}

function optionsOf(
  { lines, format, log, onPick }: LinesProps,
  width: number,
  marks: () => readonly Mark[],
): uPlot.Options {
  const [muted, line] = [colorOf("--muted"), colorOf("--line")]
  const font = `11px ${colorOf("--sans")}`
  const axis = { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false } }
  const grid = log ? { ...axis.grid, filter: tens } : axis.grid
  return {
    width,
    height: 176,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: cursors.key }, drag: { x: true, y: false }, points: { size: 6 } },
    scales: { y: log ? { distr: 3 } : { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [
      {
        ...axis,
        space: 70,
        size: 26,
        values: (_, splits) => splits.map((at) => clockTime(at * 1_000, { second: undefined })),
      },
      { ...axis, grid, size: 58, values: (_, splits) => labelsOf(splits, format) },
    ],
    series: [
      {},
      ...lines.map((one) => ({
        label: one.label,
        stroke: colorOf(one.color),
        width: 1.5,
        points: { size: 4, filter: alone },
        spanGaps: false,
      })),
    ],
    hooks: {
      draw: [(self) => drawMarks(self, marks(), colorOf("--accent"))],
      setSelect: [
        (self) => {
          const { left, width } = self.select
          if (width < 4 || !onPick) return
          onPick(new Date(self.posToVal(left, "x") * 1_000), new Date(self.posToVal(left + width, "x") * 1_000))
          self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        },
      ],
    },
  }
}
