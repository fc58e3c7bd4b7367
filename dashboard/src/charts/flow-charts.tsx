// The three charts of everything that runs jobs: outcomes, how long they waited, how long they ran.
import { useQuery } from "@tanstack/react-query"
import { lazy, Suspense } from "react"
import { queryMetrics, type MetricsResult } from "../api/metrics.ts"
import { duration } from "../format.ts"
import { jobsAt, navigate, setParams } from "../router.ts"
import { Await } from "../ui/loading.tsx"
import { Card } from "../ui/page.tsx"
import { StackedBars } from "./bars.tsx"
import { spans, useSpan } from "./span.ts"
import { useMarks } from "./use-marks.ts"
import { find, stacksOf, valuesOf } from "./outcomes.ts"
import type { Line } from "./lines.tsx"

const Lines = lazy(async () => ({ default: (await import("./lines.tsx")).Lines }))

function SpanPicker() {
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
  const marks = useMarks()
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
              end={metrics.now}
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
                marks={marks}
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
                marks={marks}
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
