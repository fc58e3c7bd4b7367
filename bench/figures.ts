// Figures: what a scenario reports, and the arithmetic over several rounds of it.

/** A tree of named numbers; null where a figure could not be taken. */
export interface Figures {
  [name: string]: number | null | Figures
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN
  return (lower + upper) / 2
}

/** Nearest rank: the smallest value that at least `share` of all values do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

export function per10k(seconds: number | null, jobs: number): number | null {
  return seconds === null ? null : (seconds / jobs) * 10_000
}

/** The median of each figure over the rounds, each figure by itself. */
export function medians(rounds: readonly Figures[]): Figures {
  return combine(rounds, median)
}

/** Ours divided by the peer's, figure by figure: over 1 is better for rates, under 1 for costs and delays. */
export function ratios(ours: Figures, peer: Figures): Figures {
  return combine([ours, peer], ([a = Number.NaN, b = Number.NaN]) => a / b)
}

function combine(trees: readonly Figures[], join: (values: readonly number[]) => number): Figures {
  const first = trees[0] ?? {}
  const entries = Object.keys(first).map((name) => {
    const values = trees.map((tree) => tree[name] ?? null)
    return [name, combineOne(values, join)] as const
  })
  return Object.fromEntries(entries)
}

function combineOne(values: readonly Figures[string][], join: (values: readonly number[]) => number): Figures[string] {
  if (values.every(isBranch)) return combine(values, join)
  if (!values.every((value) => typeof value === "number")) return null
  const joined = join(values)
  return Number.isFinite(joined) ? joined : null
}

export function isBranch(value: Figures[string]): value is Figures {
  return typeof value === "object" && value !== null
}

/** `{ a: { b: 1 } }` becomes `[["a.b", 1]]`, for tables. */
export function flatten(figures: Figures, prefix = ""): [string, number | null][] {
  return Object.entries(figures).flatMap(([name, value]): [string, number | null][] =>
    isBranch(value) ? flatten(value, `${prefix}${name}.`) : [[prefix + name, value]],
  )
}
