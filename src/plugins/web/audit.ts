import { uuidv7 } from "../../lib/uuid.ts"
import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"

/*
 * Who did what, with before and after. The entry is written before the deed, so that there is none without an entry, and
 * completed after it; one without a status was begun and nobody knows how it ended.
 */

export interface AuditEntry {
  readonly id: string
  readonly at: Date
  readonly visitor: string
  readonly action: string
  readonly target: string | null
  readonly status: number | null
  readonly before: unknown
  readonly after: unknown
}

export async function beginAudit(
  db: Connection,
  names: PluginNames,
  entry: { readonly visitor: string; readonly action: string; readonly target: string | undefined },
): Promise<string> {
  const id = uuidv7()
  await db.query(`insert into ${names.of("web_audit")} (id, visitor, action, target) values ($1, $2, $3, $4)`, [
    id,
    storable(entry.visitor),
    storable(entry.action),
    entry.target === undefined ? null : storable(entry.target),
  ])
  return id
}

export async function endAudit(
  db: Connection,
  names: PluginNames,
  id: string,
  end: {
    readonly status: number
    readonly target?: string | undefined
    readonly before?: unknown
    readonly after?: unknown
  },
): Promise<void> {
  await db.query(
    `update ${names.of("web_audit")} set status = $2, target = coalesce($3, target), before = $4::text::jsonb,
       after = $5::text::jsonb where id = $1`,
    [id, end.status, end.target === undefined ? null : storable(end.target), jsonOf(end.before), jsonOf(end.after)],
  )
}

const storable = (text: string): string => text.replaceAll("\0", "").slice(0, 500)

/** At most 64 kB; of more, that there was more. What PostgreSQL cannot store is left out. */
function jsonOf(value: unknown): string | null {
  if (value === undefined) return null
  const text = (JSON.stringify(value) ?? "null").replaceAll(/\\u0000|\\ud[89a-f][0-9a-f]{2}/gi, "\\ufffd")
  return text.length <= 65_536 ? text : JSON.stringify({ tooLarge: text.length })
}

export interface AuditFilter {
  readonly visitor: string | undefined
  readonly action: string | undefined
  readonly target: string | undefined
  /** Only entries before this one. */
  readonly before: string | undefined
  readonly limit: number
}

/** Entries, newest first. */
export async function listAudit(db: Connection, names: PluginNames, filter: AuditFilter): Promise<AuditEntry[]> {
  const { rows } = await db.query<AuditEntry>(
    `select id, at, visitor, action, target, status, before, after from ${names.of("web_audit")}
     where ($1::text is null or visitor = $1) and ($2::text is null or action = $2) and ($3::text is null or target = $3)
       and ($4::uuid is null or id < $4) order by id desc limit $5`,
    [filter.visitor ?? null, filter.action ?? null, filter.target ?? null, filter.before ?? null, filter.limit],
  )
  return rows
}
