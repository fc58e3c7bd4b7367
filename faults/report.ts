// What a run comes to: figures for programs, and a table for people.
import type { Outcome } from "./round.ts"
import type { Violation } from "./evidence.ts"

export interface Summary {
  readonly jobs: number
  readonly runs: number
  readonly faults: number
  readonly lost: number
  readonly unexplainedDuplicates: number
  /** Repeated runs, by what explains them; `stall`: the machine gave a process no time. */
  readonly reruns: Readonly<Record<string, number>>
  readonly recovery: { readonly p50: number | undefined; readonly p99: number | undefined; readonly jobs: number }
  readonly slowestDrain: number | undefined
  readonly stalls: number
  readonly rounds: readonly { readonly test: string; readonly seed: number; readonly schedule: string }[]
  readonly violations: readonly (Violation & { readonly test: string; readonly seed: number })[]
}

export function summarise(outcomes: readonly Outcome[]): Summary {
  const sum = (value: (one: Outcome) => number) => outcomes.reduce((total, one) => total + value(one), 0)
  const recoveries = outcomes.flatMap((one) => one.recoveries).toSorted((a, b) => a - b)
  const drains = outcomes.flatMap((one) => (one.drainedIn === undefined ? [] : [one.drainedIn]))
  const reruns: Record<string, number> = {}
  for (const one of outcomes) for (const [kind, count] of Object.entries(one.reruns)) reruns[kind] = (reruns[kind] ?? 0) + count // prettier-ignore
  return {
    jobs: sum((one) => one.jobs),
    runs: sum((one) => one.runs),
    faults: sum((one) => one.faults),
    lost: sum((one) => one.lost),
    unexplainedDuplicates: sum((one) => one.unexplainedDuplicates),
    reruns,
    recovery: { p50: share(recoveries, 0.5), p99: share(recoveries, 0.99), jobs: recoveries.length },
    slowestDrain: drains.length === 0 ? undefined : Math.round(Math.max(...drains)),
    stalls: sum((one) => one.stalls),
    rounds: outcomes.map(({ profile, seed, digest }) => ({ test: profile, seed, schedule: digest })),
    violations: outcomes.flatMap(({ profile, seed, violations }) =>
      violations.map((one) => ({ ...one, test: profile, seed })),
    ),
  }
}

const share = (sorted: readonly number[], part: number): number | undefined =>
  sorted.length === 0 ? undefined : Math.round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!)

/** A row per test, and one for all. */
export function table(outcomes: readonly Outcome[]): string {
  const tests = [...new Set(outcomes.map((one) => one.profile))]
  const rows = tests.map((test) => row(test, outcomes.filter((one) => one.profile === test))) // prettier-ignore
  if (tests.length > 1) rows.push(row("together", outcomes))
  const head = ["test", "seeds", "jobs", "runs", "faults", "lost", "unexplained", "other", "recovery p50/p99 ms", "slowest drain ms"] // prettier-ignore
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((cells) => cells[column]!.length)))
  const line = (cells: readonly string[]) => cells.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd() // prettier-ignore
  return `${[head, ...rows].map(line).join("\n")}\n`
}

function row(test: string, outcomes: readonly Outcome[]): string[] {
  const { jobs, runs, faults, lost, unexplainedDuplicates, violations, recovery, slowestDrain } = summarise(outcomes)
  const seeds = outcomes.map((one) => one.seed)
  const range = seeds.length === 1 ? `${seeds[0]}` : `${Math.min(...seeds)}–${Math.max(...seeds)}`
  const other = violations.length - lost - unexplainedDuplicates
  const times = recovery.p50 === undefined ? "–" : `${recovery.p50}/${recovery.p99} (${recovery.jobs})`
  return [test, range, ...[jobs, runs, faults, lost, unexplainedDuplicates, other].map(String), times, String(slowestDrain ?? "–")] // prettier-ignore
}
