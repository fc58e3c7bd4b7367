// The three charts of everything that runs jobs: outcomes, how long they waited, how long they ran.
import { useQuery } from "@tanstack/react-query"
import { lazy, Suspense } from "react"
import { queryMetrics, type MetricsResult, type Resolution } from "../api/metrics.ts"
import { duration } from "../format.ts"
import { jobsAt, navigate, setParams, useParam } from "../router.ts"
import { Await } from "../ui/loading.tsx"
import { Card } from "../ui/page.tsx"
import { StackedBars } from "./bars.tsx"
import { find, stacksOf, valuesOf } from "./outcomes.ts"
import type { Line } from "./lines.tsx"

const Lines = lazy(async () => ({ default: (await import("./lines.tsx")).Lines }))

export interface Span {
  key: string
  title: string
  resolution: Resolution
  ms: number
}

const minute = 60_000
export const spans: readonly Span[] = [
  { key: "15m", title: "15 min", resolution: "1m", ms: 15 * minute },
  { key: "1h", title: "1 h", resolution: "1m", ms: 60 * minute },
  { key: "6h", title: "6 h", resolution: "5m", ms: 360 * minute },
  { key: "24h", title: "24 h", resolution: "5m", ms: 1_440 * minute },
  { key: "7d", title: "7 d", resolution: "1h", ms: 10_080 * minute },
  { key: "90d", title: "90 d", resolution: "1d", ms: 129_600 * minute },
]

export function useSpan(): Span {
  const key = useParam("span", "1h")
  return spans.find((span) => span.key === key) ?? spans[1]!
}

export function SpanPicker() {
  const chosen = useSpan()
  return (
    <div className="segments" role="group" aria-label="Time range">
      {spans.map(({ key, title }) => (
        <button
          key={key}
          type="button"
          aria-pressed={chosen.key === key}
          onClick={() => setParams({ span: key }, { replace: true })}
        >
          {title}
        </button>
      ))}
    </div>
  )
}

interface FlowProps {
  queue?: string
  name?: string
  worker?: string
}

export function FlowCharts({ queue, name, worker }: FlowProps) {
  const span = useSpan()
  const data = useQuery({
    queryKey: ["metrics", "flow", queue, name, worker, span.key],
    queryFn: () =>
      queryMetrics({
        prefix: "jobs",
        by: "outcome",
        queue,
        name,
        worker,
        resolution: span.resolution,
        from: new Date(Date.now() - span.ms).toISOString(),
      }),
    refetchInterval: 10_000,
    placeholderData: (before) => before,
  })
  const scope = [queue && `queue:${queue}`, name && `name:${name}`, worker && `worker:${worker}`]
    .filter(Boolean)
    .join(" ")
  const pick = (from: Date, to: Date) =>
    navigate(jobsAt(`${scope} finished:${from.toISOString()}..${to.toISOString()}`.trim()))
  return (
    <Await of={data}>
      {(metrics) => (
        <div className="charts flow">
          <Card title="What ended" actions={<SpanPicker />}>
            <StackedBars
              label="What ended"
              stacks={stacksOf(metrics)}
              onPick={(at, index) => pick(new Date(at), new Date(metrics.steps[index + 1] ?? metrics.now))}
            />
          </Card>
          <Suspense
            fallback={
              <>
                <div className="card chart-space" />
                <div className="card chart-space" />
              </>
            }
          >
            <Card>
              <Lines
                label="Waited"
                times={metrics.steps}
                lines={percentiles(metrics, "jobs.wait")}
                format={duration}
                log
                onPick={pick}
              />
            </Card>
            <Card>
              <Lines
                label="Ran"
                times={metrics.steps}
                lines={percentiles(metrics, "jobs.run")}
                format={duration}
                log
                onPick={pick}
              />
            </Card>
          </Suspense>
        </div>
      )}
    </Await>
  )
}

/** On a log axis a zero has no place: what took no time took a hundredth of a millisecond. */
const above = (value: number | null | undefined): number | null => (value == null ? null : Math.max(value, 0.01))

function percentiles(metrics: MetricsResult, metric: string): Line[] {
  const series = find(metrics, metric)
  return [
    { label: "p50", color: "--fill-running", values: valuesOf(series, (point) => above(point.p50)) },
    { label: "p95", color: "--fill-retrying", values: valuesOf(series, (point) => above(point.p95)) },
    { label: "p99", color: "--fill-blocked", values: valuesOf(series, (point) => above(point.p99)) },
  ]
}
