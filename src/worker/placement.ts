import { hostname, arch, platform } from "node:os"
import { compileGlob } from "../lib/glob.ts"
import type { QueueRecord } from "../model/queue.ts"

/** The tags that every worker has. */
export const automaticTags = (id: string): string[] => [
  "*",
  `hostname=${hostname()}`,
  `worker_id=${id}`,
  `runtime=node/${process.versions.node}`,
  `arch=${arch()}`,
  `os=${platform()}`,
]

/** A queue runs where any of its globs matches any tag of the worker, whole. */
export function runsHere(queue: QueueRecord, tags: readonly string[]): boolean {
  return queue.tags.some((pattern) => {
    try {
      const matches = compileGlob(pattern)
      return tags.some(matches)
    } catch {
      return false // A pattern that somebody wrote into the row by hand: it matches nothing, and ends nobody.
    }
  })
}
