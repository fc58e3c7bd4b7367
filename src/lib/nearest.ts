// Distance is quadratic in the length; nothing a person typed as a name is longer than this.
const LONGEST_WORD = 64

/**
 * The candidate a person most likely meant by `word`, or undefined when none is near.
 *
 * Letter case and the separators `_`, `-` and space count for nothing, so `poll_interval` finds `pollInterval`. Near
 * means a Damerau-Levenshtein distance of at most a third of the longer word. The first of equally near ones wins.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > LONGEST_WORD) return undefined
  const folded = fold(word)
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    if (candidate.length > LONGEST_WORD) continue
    const other = fold(candidate)
    const limit = Math.floor(Math.max(folded.length, other.length) / 3)
    if (Math.abs(folded.length - other.length) > limit) continue
    const distance = editDistance(folded, other)
    if (distance <= limit && distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** A ready tail for an error message: ` Did you mean "x"?`, or nothing when no candidate is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = nearest(word, candidates)
  return near === undefined ? "" : ` Did you mean ${JSON.stringify(near)}?`
}

function fold(word: string): string {
  const bare = word.toLowerCase().replace(/[_\-\s]/g, "")
  return bare === "" ? word : bare
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), three rows at a time. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(
        at(previous, column) + 1,
        at(current, column - 1) + 1,
        at(previous, column - 1) + (same ? 0 : 1),
      )
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, at(before, column - 2) + 1)
      current.push(cost)
    }
    before = previous
    previous = current
  }
  return at(previous, b.length)
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY
}
