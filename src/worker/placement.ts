import { hostname, arch, platform } from "node:os"
import { placed } from "../model/placement.ts"
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

/** Whether this worker runs a queue. */
export const runsHere = (queue: QueueRecord, tags: readonly string[]): boolean => placed(queue.tags, tags)
