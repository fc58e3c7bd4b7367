import { get } from "./http.ts"

export interface AuditEntry {
  id: string
  at: string
  visitor: string
  action: string
  target: string | null
  /** Null: it was begun, and nobody knows how it ended. */
  status: number | null
  before: unknown
  after: unknown
}

export interface AuditFilter {
  visitor?: string
  action?: string
  target?: string
}

export const listAudit = (
  filter: AuditFilter,
  cursor?: string,
): Promise<{ entries: readonly AuditEntry[]; cursor: string | null }> =>
  get("/audit", { ...filter, cursor, limit: 100 })
