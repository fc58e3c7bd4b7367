import type { Connection, Database } from "../model/database.ts"
import { sqlState } from "./sqlstate.ts"
import type { Names } from "./sql.ts"

/*
 * Daily partitions of the history by the time that a row may go, so that expiry drops whole tables. There is no default
 * partition: a settlement that finds none fails with 23514, the partition is made, and the settlement is sent again.
 */

/**
 * Makes the partitions that finishing now or within the next day needs, for these retentions (seconds; -1 and 0 need
 * none). Any number of processes may do so at once.
 */
export async function ensurePartitions(db: Database, names: Names, retentions: Iterable<number>): Promise<void> {
  const kept = [...new Set(retentions)].filter((seconds) => seconds > 0)
  const { rows } = await db.query<{ day: string; name: string; first: string; next: string }>(
    `select distinct d.day::text, 'jobs_history_p' || to_char(d.day, 'YYYYMMDD') as name,
       d.day::text || ' 00:00:00+00' as first, (d.day + 1)::text || ' 00:00:00+00' as next
     from unnest($1::integer[]) as k(keep_s), unnest(array[now(), now() + interval '12 hours', now() + interval '24 hours']) as t(at),
       lateral (select (${names.of("keep_until")}(t.at, k.keep_s) at time zone 'UTC')::date as day) d
     where to_regclass(format('%I.%I', $2::text, 'jobs_history_p' || to_char(d.day, 'YYYYMMDD'))) is null
     order by 1`,
    [`{${kept.join(",")}}`, names.plain],
  )
  for (const partition of rows) await createPartition(db, names, partition)
}

/**
 * CREATE … LIKE, then ATTACH, which takes a lighter lock than CREATE … PARTITION OF: settlements go on meanwhile.
 * Somebody else making the same one is fine.
 */
async function createPartition(
  db: Database,
  names: Names,
  partition: { name: string; first: string; next: string },
): Promise<void> {
  const table = names.of(partition.name)
  try {
    await db.transaction(async (tx) => {
      await tx.query("set local lock_timeout = '3s'")
      await tx.query(
        `create table ${table} (like ${names.of("jobs_history")} including defaults including constraints including indexes)`,
      )
      await tx.query(
        `alter table ${names.of("jobs_history")} attach partition ${table} for values from ('${partition.first}') to ('${partition.next}')`,
      )
    })
  } catch (error) {
    if (!alreadyThere.has(sqlState(error))) throw error
  }
}

// duplicate table, a type of the same name (a race between two CREATEs), overlapping partition, duplicate object
const alreadyThere = new Set(["42P07", "23505", "42P17", "42710"])

/**
 * Drops the partitions whose every row may go. DETACH CONCURRENTLY waits for readers without blocking them; one that was
 * interrupted half-way is finished first.
 *
 * @returns the names of the dropped tables.
 */
export async function dropExpiredPartitions(db: Connection, names: Names): Promise<string[]> {
  const { rows } = await db.query<{ name: string; attached: boolean; pending: boolean }>(
    `select c.relname as name, i.inhrelid is not null as attached, coalesce(i.inhdetachpending, false) as pending
     from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_inherits i on i.inhrelid = c.oid
     where n.nspname = $1 and c.relkind = 'r' and c.relname ~ '^jobs_history_p[0-9]{8}$'
       and to_date(right(c.relname, 8), 'YYYYMMDD') < (now() at time zone 'UTC')::date
     order by 1`,
    [names.plain],
  )
  const dropped: string[] = []
  for (const { name, attached, pending } of rows) {
    if (await dropPartition(db, names, name, attached, pending)) dropped.push(name)
  }
  return dropped
}

async function dropPartition(db: Connection, names: Names, name: string, attached: boolean, pending: boolean) {
  try {
    if (attached) {
      await db.query(
        `alter table ${names.of("jobs_history")} detach partition ${names.of(name)} ${pending ? "finalize" : "concurrently"}`,
      )
    }
    await db.query(`drop table ${names.of(name)}`)
    return true
  } catch (error) {
    // Somebody else is dropping it (or has), or a reader holds it for long: the next pass looks again.
    if (["42P01", "55000", "55P03", "57014", "42809", "55006"].includes(sqlState(error))) return false
    throw error
  }
}
