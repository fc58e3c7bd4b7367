/** A seeded source of chance: the same seed gives the same numbers, so a run can be repeated. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** A whole number in [from, to]. */
  between(from: number, to: number): number
  /** True in this share of cases. */
  chance(share: number): boolean
  pick<T>(list: readonly T[]): T
}

/** The generator "mulberry32" by Tommy Ettinger (public domain): 32 bits of state are plenty for a schedule. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1))
  return { next, between, chance: (share) => next() < share, pick: (list) => list[between(0, list.length - 1)]! }
}
