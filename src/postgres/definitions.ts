import type { Connection } from "../model/database.ts"
import type { Names } from "./sql.ts"

/** What a job name means to whoever pushes without code: the defaults of its definition. */
export interface Announced {
  readonly name: string
  /** JSON text: what a push without options sends. */
  readonly kind: string
  /** Its unique key is made by code. */
  readonly keyed: boolean
}

/**
 * Stores what a worker's handlers declare, in one statement. Of two workers with different defaults, the one that started
 * last wins; names are never removed, since another worker may still answer to them.
 */
export async function announceDefinitions(
  db: Connection,
  names: Names,
  worker: string,
  definitions: readonly Announced[],
): Promise<void> {
  if (definitions.length === 0) return
  const rows = definitions.map(
    ({ name, kind, keyed }) => `{"name":${JSON.stringify(name)},"kind":${kind},"keyed":${keyed}}`,
  )
  await db.query(
    `insert into ${names.of("definitions")} as d (name, kind, keyed, worker)
     select r.name, r.kind - 'name', r.keyed, $1 from json_to_recordset($2::text::json) as r(name text, kind jsonb, keyed boolean)
     order by r.name
     on conflict (name) do update set kind = excluded.kind, keyed = excluded.keyed, worker = excluded.worker, announced_at = now()
     where (d.kind, d.keyed) is distinct from (excluded.kind, excluded.keyed)`,
    [worker, `[${rows.join(",")}]`],
  )
}
