import { compileGlob } from "../lib/glob.ts"

/** A queue runs where any of its globs matches any tag of the worker, whole. */
export const placed = (patterns: readonly string[], tags: readonly string[]): boolean =>
  patterns.some((pattern) => {
    try {
      return tags.some(compileGlob(pattern))
    } catch {
      return false // A pattern that somebody wrote into the row by hand: it matches nothing, and ends nobody.
    }
  })
