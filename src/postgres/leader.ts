import type { Connection } from "../model/database.ts"
import type { Names } from "./sql.ts"

/** The statements of leadership: one row per installation, compared and written by the database's clock alone. */

/** Takes the term, if nobody's lasts. Returns whether it did. */
export async function takeTerm(
  db: Connection,
  names: Names,
  term: string,
  worker: string,
  ms: number,
): Promise<boolean> {
  const { count } = await db.query(
    `insert into ${names.of("leader")} as l (name, term, worker, elected_at, expires_at)
     values ('leader', $1, $2, now(), now() + $3::float8 * interval '1 millisecond')
     on conflict (name) do update set term = excluded.term, worker = excluded.worker, elected_at = now(), expires_at = excluded.expires_at
     where l.expires_at < now()`,
    [term, worker, ms],
  )
  return count > 0
}

/** Renews a term that still lasts and is still this one. */
export async function renewTerm(db: Connection, names: Names, term: string, ms: number): Promise<boolean> {
  const { count } = await db.query(
    `update ${names.of("leader")} set expires_at = now() + $2::float8 * interval '1 millisecond'
     where name = 'leader' and term = $1 and expires_at >= now()`,
    [term, ms],
  )
  return count > 0
}

/** Ends this term, if it is still this one. */
export async function endTerm(db: Connection, names: Names, term: string): Promise<boolean> {
  const { count } = await db.query(
    `update ${names.of("leader")} set expires_at = '-infinity' where name = 'leader' and term = $1`,
    [term],
  )
  return count > 0
}

/** Whether the term lasts; if so, nobody takes over before this transaction has ended. Renewals pass. */
export async function holdTerm(tx: Connection, names: Names, term: string): Promise<boolean> {
  const { count } = await tx.query(
    `select 1 from ${names.of("leader")} where name = 'leader' and term = $1 and expires_at >= now() for key share`,
    [term],
  )
  return count > 0
}

/** In how many milliseconds the present term ends; 0 or less: nobody leads. */
export async function termLeft(db: Connection, names: Names): Promise<number> {
  const { rows } = await db.query<{ left: number | null }>(
    `select extract(epoch from nullif(expires_at, '-infinity') - now())::float8 * 1000 as left from ${names.of("leader")} where name = 'leader'`,
  )
  return rows[0]?.left ?? 0
}
