import { get } from "./http.ts"
import type { Count } from "./jobs.ts"
import type { Queue } from "./queues.ts"

export interface Problem {
  kind: string
  queue?: string
  text: string
}

export interface Overview {
  at: string
  /** Unfinished and finished jobs by state; null for those who may not know. */
  states: Partial<Record<string, Count>> | null
  queues: readonly Queue[]
  workers: { alive: number; lost: number; running: number | null; leader: string | null }
  /** What somebody should look at. */
  problems: readonly Problem[]
}

export const overview = (): Promise<Overview> => get("/overview")
