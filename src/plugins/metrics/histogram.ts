/*
 * A histogram of fixed buckets, the same everywhere, so that any two can be added: of two workers, or of two hours.
 *
 * Sixteen buckets per doubling, from 2^-10 to 2^40: bucket i holds the values over 2^(-10 + (i - 1) / 16) and up to
 * 2^(-10 + i / 16), the first also everything below, the last everything above. A value told from its bucket's middle is
 * wrong by 2.2 % at most. Sixteen buckets make one of a scraper's, exactly, for those want few.
 */

const perDoubling = 16
const lowest = -10
const highest = 40
const lastBucket = (highest - lowest) * perDoubling

/** The bucket of a value. */
export function bucketOf(value: number): number {
  const index = Math.ceil((Math.log2(value) - lowest) * perDoubling)
  return index > 0 ? Math.min(index, lastBucket) : 0
}

/** What a bucket's values are told as: no value in it is further away than 2.2 %. */
export function valueOf(bucket: number): number {
  const upper = 2 ** (lowest + bucket / perDoubling)
  const lower = 2 ** (lowest + (bucket - 1) / perDoubling)
  return (2 * lower * upper) / (lower + upper)
}

/** Counts by bucket, gathered fast and taken away as pairs: bucket, count, bucket, count, … */
export class Buckets {
  readonly #counts = new Float64Array(lastBucket + 1)
  /** Per doubling, never taken away. */
  readonly octaves = new Float64Array(highest - lowest + 1)
  #from = lastBucket
  #to = 0

  add(value: number): void {
    const bucket = bucketOf(value)
    this.#counts[bucket]! += 1
    this.octaves[Math.ceil(bucket / perDoubling)]! += 1 // a division by a power of two: cheap, and exact
    if (bucket < this.#from) this.#from = bucket
    if (bucket > this.#to) this.#to = bucket
  }

  take(): number[] {
    const pairs: number[] = []
    for (let bucket = this.#from; bucket <= this.#to; bucket++) {
      const count = this.#counts[bucket]!
      if (count > 0) pairs.push(bucket, count)
    }
    this.#counts.fill(0, this.#from, this.#to + 1)
    this.#from = lastBucket
    this.#to = 0
    return pairs
  }
}

/** Upper bound of the values that `Buckets.octaves` counts up to this place. */
export const octaveBound = (octave: number): number => 2 ** (lowest + octave)

/** Pairs of bucket and count as counts by doubling, each with its upper bound. */
export function bandsOf(pairs: readonly number[]): (readonly [upTo: number, count: number])[] {
  const bands = new Map<number, number>()
  for (let i = 0; i < pairs.length; i += 2) {
    const upTo = octaveBound(Math.ceil(pairs[i]! / perDoubling))
    bands.set(upTo, (bands.get(upTo) ?? 0) + pairs[i + 1]!)
  }
  return [...bands]
}

/** Two in one. */
export function merge(a: readonly number[], b: readonly number[]): number[] {
  const merged: number[] = []
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const left = a[i] ?? Infinity
    const right = b[j] ?? Infinity
    merged.push(Math.min(left, right), (left <= right ? a[i + 1]! : 0) + (right <= left ? b[j + 1]! : 0))
    if (left <= right) i += 2
    if (right <= left) j += 2
  }
  return merged
}

/** The smallest value that at least this share of all do not exceed, to 2.2 %; undefined of none. */
export function percentile(pairs: readonly number[], share: number): number | undefined {
  let all = 0
  for (let i = 1; i < pairs.length; i += 2) all += pairs[i]!
  if (all === 0) return undefined
  let left = Math.max(1, Math.ceil(share * all))
  for (let i = 0; i < pairs.length; i += 2) {
    left -= pairs[i + 1]!
    if (left <= 0) return valueOf(pairs[i]!)
  }
  return undefined
}
