import { useQuery } from "@tanstack/react-query"
import { lazy, Suspense } from "react"
import { suggest } from "../api/jobs.ts"
import { useHas } from "../api/meta.ts"
import { queryMetrics, type MetricsResult, type Series } from "../api/metrics.ts"
import { listQueues } from "../api/queues.ts"
import { FlowCharts } from "../charts/flow-charts.tsx"
import { Heatmap } from "../charts/heatmap.tsx"
import { Marks } from "../charts/marks.tsx"
import { useSpan } from "../charts/span.ts"
import { useMarks } from "../charts/use-marks.ts"
import { bytes, compact, duration, percent } from "../format.ts"
import { setParams, useParam } from "../router.ts"
import { SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { valuesOf } from "../charts/outcomes.ts"

const Lines = lazy(async () => ({ default: (await import("../charts/lines.tsx")).Lines }))

export default function MetricsPage() {
  const has = useHas()
  const queue = useParam("queue")
  const name = useParam("name")
  if (!has("metrics")) {
    return (
      <Page title="Metrics">
        <SwitchOn plugin="metrics" />
      </Page>
    )
  }
  return (
    <Page title="Metrics" actions={<Filters queue={queue} name={name} />}>
      <FlowCharts queue={queue || undefined} name={name || undefined} />
      <Heatmap queue={queue || undefined} name={name || undefined} />
      <Gauges queue={queue} />
      <Marks />
    </Page>
  )
}

function Filters({ queue, name }: { queue: string; name: string }) {
  const queues = useQuery({ queryKey: ["queues"], queryFn: listQueues }).data ?? []
  const names =
    useQuery({ queryKey: ["suggest", "name", ""], queryFn: () => suggest("name", ""), staleTime: 30_000 }).data ?? []
  return (
    <>
      <select
        className="inline"
        aria-label="Queue"
        value={queue}
        onChange={(event) => setParams({ queue: event.target.value }, { replace: true })}
      >
        <option value="">every queue</option>
        {queues.map((one) => (
          <option key={one.name}>{one.name}</option>
        ))}
      </select>
      <select
        className="inline"
        aria-label="Job"
        value={name}
        onChange={(event) => setParams({ name: event.target.value }, { replace: true })}
      >
        <option value="">every job</option>
        {names.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </>
  )
}

const gauges: readonly { metric: string; title: string; by: string }[] = [
  { metric: "queue.depth", title: "Unfinished jobs", by: "state" },
  { metric: "queue.oldest", title: "Oldest waiting", by: "queue" },
  { metric: "worker.running", title: "Running", by: "queue" },
  { metric: "worker.slots", title: "Slots", by: "queue" },
  { metric: "worker.loop_blocked", title: "Event loop blocked", by: "" },
  { metric: "db.connections", title: "Connections", by: "state" },
]

const formats = {
  ms: duration,
  s: (value: number) => duration(value * 1_000),
  bytes,
  ratio: percent,
} as const

const colors = [
  "--fill-running",
  "--fill-retrying",
  "--fill-scheduled",
  "--fill-succeeded",
  "--fill-blocked",
  "--fill-failed",
  "--fill-pending",
]

function Gauges({ queue }: { queue: string }) {
  return (
    <div className="charts">
      {gauges.map((gauge) => (
        <Gauge
          key={gauge.metric}
          {...gauge}
          queue={gauge.metric.startsWith("db") || gauge.metric.includes("loop") ? "" : queue}
        />
      ))}
    </div>
  )
}

function Gauge({ metric, title, by, queue }: { metric: string; title: string; by: string; queue: string }) {
  const span = useSpan()
  const marks = useMarks()
  const data = useQuery({
    queryKey: ["metrics", "gauge", metric, by, queue, span.key],
    queryFn: () =>
      queryMetrics({
        prefix: metric,
        by: by || "none",
        queue,
        resolution: span.resolution,
        from: new Date(Date.now() - span.ms).toISOString(),
      }),
    refetchInterval: 15_000,
    placeholderData: (before) => before,
  })
  return (
    <Await of={data}>
      {(metrics) => (
        <Suspense fallback={<div className="card chart-space" />}>
          <Card>
            <Lines
              label={title}
              marks={marks}
              times={metrics.steps}
              lines={linesOf(metrics, by)}
              format={
                formats[metrics.series[0]?.unit ?? "ms"] && metrics.series[0]?.unit
                  ? formats[metrics.series[0].unit]
                  : compact
              }
            />
          </Card>
        </Suspense>
      )}
    </Await>
  )
}

const mostLines = 7

function linesOf({ series }: MetricsResult, by: string) {
  const size = (one: Series) =>
    valuesOf(one, (point) => point.value).reduce((sum: number, value) => sum + (value ?? 0), 0)
  return [...series]
    .sort((one, other) => size(other) - size(one))
    .slice(0, mostLines)
    .map((one, index) => ({
      label: one.labels[by] ?? "all",
      color: one.metric === "queue.depth" ? `--fill-${one.labels.state ?? "pending"}` : colors[index]!,
      values: valuesOf(one, (point) => point.value),
    }))
}
