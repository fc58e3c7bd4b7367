import type { MetricLabels } from "../../model/metrics.ts"
import { described } from "./catalogue.ts"
import { familyOf, scaleOf } from "./exposed.ts"
import { octaveBound } from "./histogram.ts"
import type { GaugeSeries, HistogramSeries, Series, CounterSeries } from "./series.ts"

/** The text format of Prometheus, version 0.0.4: families in the order of their names, each with its help and type. */

export const prometheusType = "text/plain; version=0.0.4; charset=utf-8"

/** @param info labels of the one sample that says whose these are. */
export function prometheusText(all: Iterable<Series>, info: MetricLabels): string {
  const families = new Map<string, Series[]>()
  for (const series of all) {
    const family = familyOf(series.name, series.kind)
    const members = families.get(family)
    if (members) members.push(series)
    else families.set(family, [series])
  }
  const parts = [
    head("millrace_worker_info", "gauge", "The worker that answers."),
    sample("millrace_worker_info", info, 1),
  ]
  for (const [family, members] of [...families].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const samples = members.flatMap((series) => samplesOf(family, series))
    const { name, kind } = members[0]!
    if (samples.length > 0)
      parts.push(head(family, kind, described(name)?.help ?? `${name}, measured by a plugin.`), ...samples)
  }
  return parts.join("")
}

function samplesOf(family: string, series: Series): string[] {
  const scale = scaleOf(series.name)
  if (series.kind === "counter") return [sample(family, series.labels, (series as CounterSeries).sum * scale)]
  if (series.kind === "gauge") return gauge(family, series as GaugeSeries, scale)
  return histogram(family, series as HistogramSeries, scale)
}

function gauge(family: string, { name, labels, value, estimate }: GaugeSeries, scale: number): string[] {
  if (value === undefined) return []
  const told = name === "queue.depth" ? { ...labels, exact: String(!estimate) } : labels
  return [sample(family, told, value * scale)]
}

/** The doublings from 1 to 2^22: of durations 1 ms to 70 minutes. */
const octaves = Array.from({ length: 23 }, (_, index) => index + 10)

function histogram(family: string, { labels, buckets, count, sum }: HistogramSeries, scale: number): string[] {
  const lines: string[] = []
  let below = 0
  let next = 0
  for (const octave of octaves) {
    while (next <= octave) below += buckets.octaves[next++]!
    lines.push(sample(`${family}_bucket`, { ...labels, le: number(octaveBound(octave) * scale) }, below))
  }
  lines.push(sample(`${family}_bucket`, { ...labels, le: "+Inf" }, count))
  return [...lines, sample(`${family}_sum`, labels, sum * scale), sample(`${family}_count`, labels, count)]
}

const head = (family: string, kind: string, help: string): string =>
  `# HELP ${family} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${family} ${kind}\n`

function sample(name: string, labels: MetricLabels, value: number): string {
  const text = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  return `${name}${text.length === 0 ? "" : `{${text.join(",")}}`} ${number(value)}\n`
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

/** Without the noise that scaling adds to the last digits. */
const number = (value: number): string => String(Number(value.toPrecision(12)))
