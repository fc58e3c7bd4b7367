import { get, part } from "./http.ts"

export interface PluginHealth {
  name: string
  scope: string
  state: string
  crashes: number
  error?: string | null
}

export interface WorkerInfo {
  id: string
  incarnation: string
  hostname: string
  pid: number
  tags: readonly string[]
  queues: readonly string[]
  handlers: readonly string[]
  startedAt: string
  seenAt: string
  expiresAt: string
  alive: boolean
  leader: boolean
  /** Null for those who may not know. */
  running: number | null
  slots?: number
  version?: string
  memory?: number
  loopDelay?: number
  plugins?: readonly PluginHealth[]
}

export const listWorkers = async (): Promise<readonly WorkerInfo[]> =>
  (await get<{ workers: readonly WorkerInfo[] }>("/workers")).workers

export const getWorker = (id: string): Promise<WorkerInfo> => get(`/workers/${part(id)}`)
