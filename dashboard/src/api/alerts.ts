import { get, part, post } from "./http.ts"

export interface AlertRule {
  name: string
  kind: string
  severity: "info" | "warning" | "critical"
  silencedUntil?: string | null
  silencedBy?: string | null
  channels?: readonly string[]
  firing?: number
}

export interface AlertEvent {
  id: string
  rule: string
  subject: string
  severity: AlertRule["severity"]
  state: "pending" | "firing" | "resolved"
  value?: number
  text: string
  beganAt: string
  firedAt?: string
  resolvedAt?: string
  acknowledgedAt?: string
  acknowledgedBy?: string
  note?: string
}

const base = "/plugins/alerts"

export const listRules = async (): Promise<readonly AlertRule[]> =>
  (await get<{ rules: readonly AlertRule[] }>(`${base}/rules`)).rules
export const listAlerts = (cursor?: string): Promise<{ events: readonly AlertEvent[]; cursor?: string }> =>
  get(`${base}/events`, { cursor, limit: 100 })
export const acknowledge = (id: string, by: string, note: string): Promise<unknown> =>
  post(`${base}/events/${part(id)}/acknowledge`, { by, ...(note === "" ? {} : { note }) })
/** "in 2h"; null ends the silence. */
export const silence = (rule: string, until: string | null, by: string): Promise<unknown> =>
  post(`${base}/rules/${part(rule)}/silence`, { until, by })
