import { get, part, post, put, remove } from "./http.ts"

export interface Schedule {
  key: string
  job: string
  queue: string
  payload: unknown
  cron?: string
  every?: number
  zone: string
  /** When it runs, in words. */
  description: string
  start?: string
  end?: string
  jitter: number
  overlap: "skip" | "allow" | "replace"
  missed: string
  missedLimit: number
  grace: number
  enabled: boolean
  /** Of the code that declares it. */
  owner?: string
  lastAt?: string
  lastJob?: string
  nextAt?: string
  problem?: string
}

export interface Tick {
  at: string
  firedAt: string
  outcome: "pushed" | "duplicate" | "skipped" | "missed"
  job?: string
  missed: number
  manual: boolean
  reason?: string
  worker?: string
}

export interface Preview {
  description: string
  zone: string
  runs: readonly { at: string; local: string; offset: string }[]
}

/** What is given to make or change one. */
export interface ScheduleInput {
  job: string
  payload: unknown
  cron?: string
  every?: string
  zone: string
  overlap: string
  missed: string
  push?: { queue?: string }
}

const base = "/plugins/cron"
const at = (key: string) => `${base}/schedules/${part(key)}`

export const listSchedules = async (): Promise<readonly Schedule[]> =>
  (await get<{ schedules: readonly Schedule[] }>(`${base}/schedules`)).schedules
export const getSchedule = (key: string): Promise<Schedule> => get(at(key))
export const ticks = async (key: string): Promise<readonly Tick[]> =>
  (await get<{ ticks: readonly Tick[] }>(`${at(key)}/ticks`, { limit: 60 })).ticks
export const putSchedule = (key: string, input: ScheduleInput): Promise<unknown> => put(at(key), input)
export const removeSchedule = (key: string): Promise<unknown> => remove(at(key))
export const runSchedule = (key: string): Promise<{ job: unknown }> => post(`${at(key)}/run`)
export const pauseSchedule = (key: string): Promise<unknown> => post(`${at(key)}/pause`)
export const resumeSchedule = (key: string): Promise<unknown> => post(`${at(key)}/resume`)

export const preview = (timing: {
  cron?: string
  every?: string
  zone: string
  count?: number
  after?: string
}): Promise<Preview> => post(`${base}/preview`, timing)
