import type { Connection } from "../model/database.ts"
import type { Rule } from "../model/rule.ts"
import { compileRule } from "./rule-sql.ts"
import type { Names } from "./sql.ts"

/** Deletes finished jobs that a rule means, at most so many. Unfinished jobs stand in another table and are never touched. */
export async function pruneByRule(db: Connection, names: Names, rule: Rule, limit: number): Promise<number> {
  const { sql, values } = compileRule(rule, "history", names, 2)
  const history = names.of("jobs_history")
  const { count } = await db.query(
    `delete from ${history} h where (h.tableoid, h.ctid) in (
       select j.tableoid, j.ctid from ${history} j where ${sql} limit $1 for update skip locked)`,
    [limit, ...values],
  )
  return count
}
