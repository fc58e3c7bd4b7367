// How many jobs waited or ran how long, and when: a column per step, a row per doubling, darker where more fell into it.
// Percentiles hide that there are two kinds of jobs; here they are two stripes.
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { queryMetrics, type MetricsResult } from "../api/metrics.ts"
import { clockTime, duration, number } from "../format.ts"
import { jobsAt, navigate, setParams, useParam } from "../router.ts"
import { Await } from "../ui/loading.tsx"
import { Card } from "../ui/page.tsx"
import { MarkLines } from "./mark-lines.tsx"
import { useSpan } from "./span.ts"

const metrics = [
  { key: "wait", metric: "jobs.wait", title: "waited" },
  { key: "run", metric: "jobs.run", title: "ran" },
] as const

export function Heatmap({ queue, name }: { queue?: string; name?: string }) {
  const span = useSpan()
  const key = useParam("heat", "wait")
  const { metric, title } = metrics.find((one) => one.key === key) ?? metrics[0]
  const data = useQuery({
    queryKey: ["metrics", "heat", metric, queue, name, span.key],
    queryFn: () =>
      queryMetrics({
        prefix: metric,
        by: "none",
        bands: "true",
        queue,
        name,
        resolution: span.resolution,
        from: new Date(Date.now() - span.ms).toISOString(),
      }),
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  })
  const scope = [queue && `queue:${queue}`, name && `name:${name}`].filter(Boolean).join(" ")
  const [asTable, setAsTable] = useState(false)
  const pick = (from: string, to: string) => navigate(jobsAt(`${scope} finished:${from}..${to}`.trim()))
  return (
    <Card
      title={`How long jobs ${title}`}
      actions={
        <>
          <div className="segments" role="group" aria-label="Which time">
            {metrics.map((one) => (
              <button
                key={one.key}
                type="button"
                aria-pressed={one.key === key}
                onClick={() => setParams({ heat: one.key }, { replace: true })}
              >
                {one.title}
              </button>
            ))}
          </div>
          <button
            type="button"
            className="button ghost small"
            aria-pressed={asTable}
            onClick={() => setAsTable(!asTable)}
          >
            Table
          </button>
        </>
      }
    >
      <Await of={data}>
        {(found) => {
          const heat = heatOf(found)
          if (heat.bands.length === 0) return <p className="muted">No job has ended in this time.</p>
          return asTable ? (
            <Figures heat={heat} label={`How long jobs ${title}`} />
          ) : (
            <Cells heat={heat} onPick={pick} />
          )
        }}
      </Await>
    </Card>
  )
}

interface Heat {
  steps: readonly string[]
  end: string
  /** Upper bounds, the longest first, without gaps. */
  bands: readonly number[]
  /** By step, then by band. */
  counts: readonly ReadonlyMap<number, number>[]
  most: number
}

function heatOf({ steps, now, series }: MetricsResult): Heat {
  const counts = steps.map((_, index) => new Map(series[0]?.points[index]?.bands ?? []))
  const seen = counts.flatMap((one) => [...one.keys()])
  const bands: number[] = []
  for (let band = Math.max(...seen); seen.length > 0 && band >= Math.min(...seen); band /= 2) bands.push(band)
  return { steps, end: now, bands, counts, most: Math.max(1, ...counts.flatMap((one) => [...one.values()])) }
}

/** Of a thousand and of ten one can tell the difference, of one and of none above all. */
const shade = (count: number, most: number): number => 0.18 + (0.82 * Math.log1p(count)) / Math.log1p(most)

/** Bounds are doublings, also of what is shorter than a millisecond. */
const bound = (ms: number): string => (ms < 1 ? `${Math.round(ms * 1_000)} µs` : duration(ms))

const bandText = (upTo: number): string => `${bound(upTo / 2)} to ${bound(upTo)}`

function Cells({ heat, onPick }: { heat: Heat; onPick: (from: string, to: string) => void }) {
  const { steps, end, bands, counts, most } = heat
  const [wide, high] = [1000, 16]
  const step = wide / steps.length
  const labels = bands.length > 8 ? 2 : 1
  return (
    <figure className="chart heat" aria-label="Heatmap; the same figures are behind Table">
      <div className="heat-plot">
        <ol className="heat-scale" aria-hidden="true">
          {bands.map((band, index) => (
            <li key={band}>{index % labels === 0 ? bound(band) : ""}</li>
          ))}
        </ol>
        <div className="plot">
          <svg
            viewBox={`0 0 ${wide} ${bands.length * high}`}
            preserveAspectRatio="none"
            height={bands.length * high}
            aria-hidden="true"
          >
            {steps.map((at, column) => (
              <g key={at} className="bar pick" onClick={() => onPick(at, steps[column + 1] ?? end)}>
                <rect className="hit" x={column * step} width={step} y={0} height={bands.length * high} />
                {bands.map((band, row) => {
                  const count = counts[column]!.get(band)
                  if (!count) return null
                  return (
                    <rect
                      key={band}
                      className="cell"
                      x={column * step}
                      y={row * high + 0.5}
                      width={step * 0.94}
                      height={high - 1}
                      fillOpacity={shade(count, most)}
                    >
                      <title>{`${clockTime(at, { second: undefined })}, ${bandText(band)}: ${number(count)}`}</title>
                    </rect>
                  )
                })}
              </g>
            ))}
            <MarkLines from={steps[0]} to={end} width={wide} height={bands.length * high} />
          </svg>
        </div>
      </div>
      <div className="axis" aria-hidden="true">
        {[0, 0.25, 0.5, 0.75].map((share) => (
          <span key={share}>{clockTime(steps[Math.floor(share * steps.length)]!, { second: undefined })}</span>
        ))}
        <span>now</span>
      </div>
    </figure>
  )
}

function Figures({ heat: { steps, bands, counts }, label }: { heat: Heat; label: string }) {
  const rows = steps.map((at, index) => ({ at, counts: counts[index]! })).filter((row) => row.counts.size > 0)
  return (
    <div className="figures" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th>Time</th>
            {bands.toReversed().map((band) => (
              <th key={band} className="right">
                {`≤ ${bound(band)}`}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.reverse().map((row) => (
            <tr key={row.at}>
              <td>{clockTime(row.at, { second: undefined })}</td>
              {bands.toReversed().map((band) => (
                <td key={band} className="right">
                  {number(row.counts.get(band) ?? 0)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
