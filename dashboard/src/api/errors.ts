import { get, part, post } from "./http.ts"

export type ErrorState = "open" | "resolved" | "ignored"

export interface ErrorGroup {
  fingerprint: string
  state: ErrorState
  name: string
  code?: string
  /** The message without what varies. */
  pattern: string
  message: string
  frames: readonly string[]
  count: number
  firstSeen: string
  lastSeen: string
  resolvedAt?: string
  reopenedAt?: string
}

export interface ErrorDetails extends ErrorGroup {
  stack?: string
  samples: readonly { id: string; attempt: number; at: string }[]
  jobs: readonly { name: string; queue: string; count: number; lastSeen: string }[]
  /** Failures per hour; hours without any are left out. */
  hours: readonly { hour: string; count: number }[]
}

const base = "/plugins/errors/groups"

export const listGroups = (
  state: ErrorState | "",
  cursor?: string,
): Promise<{ groups: readonly ErrorGroup[]; cursor?: string }> => get(base, { state, cursor, limit: 100 })

export const getGroup = (fingerprint: string): Promise<ErrorDetails> => get(`${base}/${part(fingerprint)}`)

export const setGroup = (fingerprint: string, verb: "resolve" | "ignore" | "reopen"): Promise<unknown> =>
  post(`${base}/${part(fingerprint)}/${verb}`)
