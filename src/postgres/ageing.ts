import type { Connection } from "../model/database.ts"
import type { Rule } from "../model/rule.ts"
import { compileRule } from "./rule-sql.ts"
import type { Names } from "./sql.ts"

export interface Raise {
  /** Under which a job remembers when it was raised last. */
  readonly key: string
  readonly rule: Rule
  readonly by: number
  readonly ceiling: number
  /** Milliseconds. */
  readonly every: number
  readonly batch: number
}

/**
 * Raises waiting jobs that the rule means, each at most once per interval and not above the ceiling; returns how many.
 * They go to the end of their new rank (`ready_at`), as after every change of rank: a place further ahead could lie behind
 * what a worker has scanned already.
 */
export async function raisePriorities(db: Connection, names: Names, raise: Raise): Promise<number> {
  const { sql, values } = compileRule(raise.rule, "jobs", names, 6)
  const jobs = names.of("jobs")
  const due = (alias: string) =>
    `${alias}.state = 'pending' and ${alias}.rank > -$3::integer
       and coalesce((${alias}.options ->> $1)::timestamptz, '-infinity') <= now() - $4::float8 * interval '1 millisecond'`
  const { count } = await db.query(
    `update ${jobs} u set rank = greatest(u.rank - $2::integer, -$3::integer), ready_at = now(),
       options = coalesce(u.options, '{}') || jsonb_build_object($1::text, now())
     where ${due("u")} and u.id = any(array(
       select j.id from ${jobs} j where ${due("j")} and (${sql}) order by j.id limit $5 for update skip locked))`,
    [raise.key, raise.by, raise.ceiling, raise.every, raise.batch, ...values],
  )
  return count
}
