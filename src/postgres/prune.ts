import type { Database } from "../model/database.ts"
import type { Rule } from "../model/rule.ts"
import { deleteLogs } from "./logs.ts"
import { compileRule } from "./rule-sql.ts"
import type { Names } from "./sql.ts"

/** Deletes unique keys whose time is over, and counts of attempts that no circuit breaker looks at any more. */
export async function pruneKeys(db: Database, names: Names): Promise<number> {
  const { count } = await db.query(
    `delete from ${names.of("unique_keys")} where key = any(array(
       select key from ${names.of("unique_keys")} where until < now() - interval '1 minute' limit 10000 for update skip locked))`,
  )
  const { count: outcomes } = await db.query(
    `delete from ${names.of("queue_outcomes")} where bucket < now() - interval '2 days'`,
  )
  return count + outcomes
}

/** Deletes finished jobs that a rule means, at most so many. Unfinished jobs stand in another table and are never touched. */
export async function pruneByRule(db: Database, names: Names, rule: Rule, limit: number): Promise<number> {
  const { sql, values } = compileRule(rule, "history", names, 2)
  const history = names.of("jobs_history")
  return db.transaction(async (tx) => {
    const { rows } = await tx.query<{ id: string }>(
      `delete from ${history} h where (h.tableoid, h.ctid) in (
         select j.tableoid, j.ctid from ${history} j where ${sql} limit $1 for update skip locked)
       returning h.id`,
      [limit, ...values],
    )
    const ids = rows.map((row) => row.id)
    if (ids.length > 0) await deleteLogs(tx, names, ids)
    return ids.length
  })
}
