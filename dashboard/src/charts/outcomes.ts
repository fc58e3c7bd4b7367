import type { JobState } from "../api/jobs.ts"
import type { MetricsResult, Point, Series } from "../api/metrics.ts"
import type { Stack } from "./bars.tsx"

const stateOf: Record<string, JobState> = {
  succeeded: "succeeded",
  failed: "failed",
  retrying: "retrying",
  cancelled: "cancelled",
}

/** What ended in each step, by outcome. */
export function stacksOf({ steps, series }: MetricsResult): Stack[] {
  const ended = series.filter(({ metric }) => metric === "jobs.ended")
  return steps.map((at, index) => {
    const measured = ended.some(({ points }) => points[index] != null)
    const values: Partial<Record<JobState, number>> = {}
    for (const { labels, points } of ended) {
      const state = stateOf[labels.outcome ?? ""]
      if (state) values[state] = (values[state] ?? 0) + (points[index]?.count ?? 0)
    }
    return { at, values: measured ? values : null }
  })
}

export const find = ({ series }: MetricsResult, metric: string): Series | undefined =>
  series.find((one) => one.metric === metric)

export const valuesOf = (
  series: Series | undefined,
  of: (point: Point) => number | null | undefined,
): (number | null)[] => (series?.points ?? []).map((point) => (point === null ? null : (of(point) ?? null)))
