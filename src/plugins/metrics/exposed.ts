import type { MetricKind } from "../../model/metrics.ts"
import { described, type Unit } from "./catalogue.ts"

/** How scrapers call a metric: base units, and suffixes that say the kind. */

const suffixes: Readonly<Record<Unit, string>> = { ms: "_seconds", s: "_seconds", bytes: "_bytes", ratio: "_ratio" }

/** Name of the family: `jobs.wait` is `millrace_jobs_wait_seconds`. */
export function familyOf(name: string, kind: MetricKind): string {
  const unit = described(name)?.unit
  const suffix = unit === undefined ? "" : suffixes[unit]
  const plain = `millrace_${name.replaceAll(".", "_")}`
  const base = plain.endsWith(suffix) ? plain : plain + suffix
  return kind === "counter" && !base.endsWith("_total") ? `${base}_total` : base
}

/** Every name that its samples have. */
export function exposedNames(name: string, kind: MetricKind): string[] {
  const family = familyOf(name, kind)
  return kind === "histogram" ? [family, ...["bucket", "sum", "count"].map((part) => `${family}_${part}`)] : [family]
}

/** What its values are multiplied with for the base unit. */
export const scaleOf = (name: string): number => (described(name)?.unit === "ms" ? 1e-3 : 1)
