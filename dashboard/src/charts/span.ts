// How far back the charts of a page look.
import type { Resolution } from "../api/metrics.ts"
import { useParam } from "../router.ts"

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
