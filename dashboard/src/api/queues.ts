import { get, part, patch, post } from "./http.ts"
import type { Count } from "./jobs.ts"

export interface Queue {
  name: string
  concurrency: number | null
  executor: string
  /** Milliseconds. */
  timeout: number | null
  memoryLimit: number | null
  tags: readonly string[]
  claimAhead: number | null
  pollInterval: number
  paused: boolean
  resumeAt: string | null
  revision: number
  createdAt: string
  counts: Partial<Record<string, Count>>
  /** How long the ready job that has waited longest has done so. */
  oldestReadyMs: number | null
  waiting: Count
  workers: readonly string[]
  /** Jobs that may run at a time; null: as many as the executor likes. */
  slots: number | null
  /** False: no live worker runs it. */
  served: boolean
}

export const listQueues = async (): Promise<readonly Queue[]> =>
  (await get<{ queues: readonly Queue[] }>("/queues")).queues

export const getQueue = (name: string): Promise<Queue> => get(`/queues/${part(name)}`)

/** `until` as "in 10m"; without it, until somebody resumes it. */
export const pauseQueue = (name: string, until?: string): Promise<unknown> =>
  post(`/queues/${part(name)}/pause`, until === undefined ? {} : { until })
export const resumeQueue = (name: string): Promise<unknown> => post(`/queues/${part(name)}/resume`)

/** Null takes a limit away. */
export interface QueueChanges {
  concurrency?: number | null
  timeout?: string | null
  memoryLimit?: string | null
  tags?: readonly string[]
}

export const editQueue = (name: string, changes: QueueChanges): Promise<unknown> =>
  patch(`/queues/${part(name)}`, changes)
