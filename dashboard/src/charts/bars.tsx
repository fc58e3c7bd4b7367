// Stacked bars of what ended, and small bars beside figures, as SVG: sharp, printable, and readable without a canvas.
import { useId } from "react"
import { clockTime, compact, number } from "../format.ts"
import { MarkLines } from "./mark-lines.tsx"
import type { JobState } from "../api/jobs.ts"

export interface Stack {
  at: string
  /** Null: nobody measured. */
  values: Partial<Record<JobState, number>> | null
}

const order: readonly JobState[] = ["succeeded", "retrying", "failed", "cancelled"]

interface StackedProps {
  label: string
  stacks: readonly Stack[]
  height?: number
  /** When the last step ends; given, marks are drawn. */
  end?: string
  /** What a bar leads to. */
  onPick?: (at: string, index: number) => void
}

const sumOf = (stack: Stack): number => Object.values(stack.values ?? {}).reduce((sum, value) => sum + value, 0)

export function niceTop(value: number): number {
  if (value <= 4) return 4
  const unit = 10 ** Math.floor(Math.log10(value))
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * unit).find((step) => step >= value)!
}

export function StackedBars({ label, stacks, height = 168, end, onPick }: StackedProps) {
  const table = useId()
  const top = niceTop(Math.max(...stacks.map(sumOf), 1))
  const [width, inner] = [1000, height - 18]
  const step = width / Math.max(stacks.length, 1)
  return (
    <figure className="chart" aria-labelledby={`${table}-t`}>
      <div className="plot">
        <svg viewBox={`0 0 ${width} ${inner}`} preserveAspectRatio="none" style={{ height: inner }} aria-hidden="true">
          {[0.25, 0.5, 0.75, 1].map((share) => (
            <line
              key={share}
              x1="0"
              x2={width}
              y1={inner * (1 - share) + 0.5}
              y2={inner * (1 - share) + 0.5}
              className="grid"
            />
          ))}
          {stacks.map((stack, index) => (
            <Bar
              key={stack.at}
              stack={stack}
              x={index * step}
              width={step}
              scale={inner / top}
              base={inner}
              partial={index === stacks.length - 1}
              onPick={onPick && (() => onPick(stack.at, index))}
            />
          ))}
          {end && <MarkLines from={stacks[0]?.at} to={end} width={width} height={inner} />}
        </svg>
        <span className="top">{compact(top)}</span>
        <span className="half">{compact(top / 2)}</span>
      </div>
      <div className="axis" aria-hidden="true">
        {[0, 0.25, 0.5, 0.75].map((share) => {
          const at = stacks[Math.floor(share * stacks.length)]?.at
          return <span key={share}>{at && clockTime(at, { second: undefined })}</span>
        })}
        <span>now</span>
      </div>
      <table className="sr" aria-labelledby={`${table}-t`}>
        <caption id={`${table}-t`}>{label}</caption>
        <tbody>
          {stacks.slice(-15).map((stack) => (
            <tr key={stack.at}>
              <th scope="row">{clockTime(stack.at)}</th>
              <td>{textOf(stack)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  )
}

const textOf = ({ values }: Stack): string =>
  values === null
    ? "not measured"
    : order
        .filter((state) => (values[state] ?? 0) > 0)
        .map((state) => `${number(values[state]!)} ${state}`)
        .join(", ") || "nothing"

interface BarProps {
  stack: Stack
  x: number
  width: number
  scale: number
  base: number
  partial: boolean
  onPick: (() => void) | undefined
}

function Bar({ stack, x, width, scale, base, partial, onPick }: BarProps) {
  let y = base
  return (
    <g className={`bar${partial ? " partial" : ""}${onPick ? " pick" : ""}`} onClick={onPick}>
      <title>{`${clockTime(stack.at, { second: undefined })}: ${textOf(stack)}`}</title>
      <rect className="hit" x={x} width={width} y={0} height={base} />
      {stack.values === null && <rect className="gap" x={x} width={width} y={base - 3} height={3} />}
      {order.map((state) => {
        const value = stack.values?.[state] ?? 0
        if (value === 0) return null
        const height = Math.max(value * scale, 1.5)
        y -= height
        return (
          <rect
            key={state}
            className={`s-${state} fill`}
            x={x + width * 0.1}
            width={width * 0.8}
            y={y}
            height={height}
          />
        )
      })}
    </g>
  )
}

/** Fifteen bars beside a figure. */
export function Spark({ values, label }: { values: readonly (number | null)[]; label: string }) {
  const top = Math.max(...values.map((value) => value ?? 0), 1e-9)
  const step = 100 / Math.max(values.length, 1)
  return (
    <svg className="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={label}>
      {values.map((value, index) => {
        const height = value === null ? 0 : Math.max((value / top) * 24, 1)
        return <rect key={index} x={index * step + step * 0.12} width={step * 0.76} y={24 - height} height={height} />
      })}
    </svg>
  )
}

/** A share of something, with its words elsewhere. */
export function Meter({ share, tone = "running", label }: { share: number; tone?: JobState; label: string }) {
  const width = `${Math.min(100, Math.max(0, share * 100))}%`
  return (
    <span className={`meter s-${tone}`} role="img" aria-label={label}>
      <i style={{ width }} />
    </span>
  )
}
