import type { Connection, Database } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { sqlState } from "../../postgres/sqlstate.ts"
import { plainArray } from "../../postgres/sql.ts"

/*
 * Moving waiting jobs to another queue. A key that counts per queue goes along: in the row, and where its reservation is a
 * row of `unique_keys`, there. Whose key is taken in the other queue stays where it is.
 */

interface Held {
  id: string
  unique_key: string | null
  /** Key of a row in `unique_keys`; the job may hold it, or have held it. */
  reserved: string | null
}

/** A stored key as it would be in another queue: "q|mail|42", or with what it lasts for before it, "w|q|mail|42". */
export function keyIn(queue: string, stored: string | null): string | null {
  const found = stored === null ? null : /^((?:[wf]\|)?q\|)[^|]*(\|.*)$/s.exec(stored)
  return found ? found[1]! + queue + found[2]! : stored
}

/** @returns the ids of those that were moved. */
export async function moveJobs(
  db: Database,
  names: PluginNames,
  ids: readonly string[],
  queue: string,
): Promise<string[]> {
  try {
    return await db.transaction((tx) => moveIn(tx, names, ids, queue))
  } catch (error) {
    // Somebody took a key between our look and the update: one by one, only that job stays.
    if (sqlState(error) !== "23505") throw error
    if (ids.length === 1) return []
    const moved: string[] = []
    for (const id of ids) moved.push(...(await moveJobs(db, names, [id], queue)))
    return moved
  }
}

async function moveIn(tx: Connection, names: PluginNames, ids: readonly string[], queue: string): Promise<string[]> {
  const { rows } = await tx.query<Held>(
    `select j.id, j.unique_key, j.options -> 'unique' ->> 'key' as reserved from ${names.of("jobs")} j
     where j.id = any($1::uuid[]) and j.token is null and j.queue <> $2 order by j.id for update`,
    [plainArray(ids), queue],
  )
  const free = await withFreeKeys(tx, names, rows, queue)
  const movable = await reserve(tx, names, free, queue)
  if (movable.length === 0) return []
  await tx.query(
    `update ${names.of("jobs")} j set queue = $2, unique_key = m.key, ready_at = now(),
       options = case when m.reserved is null then j.options else jsonb_set(j.options, '{unique,key}', to_jsonb(m.reserved)) end
     from unnest($1::uuid[], $3::text[], $4::text[]) as m(id, key, reserved) where j.id = m.id`,
    [
      movable.map(({ id }) => id),
      queue,
      movable.map(({ unique_key }) => keyIn(queue, unique_key)),
      movable.map(({ reserved }) => keyIn(queue, reserved)),
    ],
  )
  return movable.map(({ id }) => id)
}

/** Those whose key of the row no other job has there, of several with one key the first. */
async function withFreeKeys(tx: Connection, names: PluginNames, rows: readonly Held[], queue: string): Promise<Held[]> {
  const wanted = rows.flatMap(({ unique_key }) => keyIn(queue, unique_key) ?? [])
  const { rows: found } = await tx.query<{ key: string; id: string }>(
    `select unique_key as key, id from ${names.of("jobs")} where unique_key = any($1::text[])`,
    [wanted],
  )
  const holders = new Map(found.map(({ key, id }) => [key, id]))
  return rows.filter(({ id, unique_key }) => {
    const key = keyIn(queue, unique_key)
    if (key === null) return true
    if ((holders.get(key) ?? id) !== id) return false
    holders.set(key, id)
    return true
  })
}

/** Takes reservations along, in the order of keys. @returns those that lost none. */
async function reserve(tx: Connection, names: PluginNames, rows: readonly Held[], queue: string): Promise<Held[]> {
  const keys = names.of("unique_keys")
  const changing = rows.filter(({ reserved }) => reserved !== keyIn(queue, reserved))
  const values = [
    changing.map(({ id }) => id),
    changing.map(({ reserved }) => reserved),
    changing.map(({ reserved }) => keyIn(queue, reserved)),
  ]
  const given = "unnest($1::uuid[], $2::text[], $3::text[]) as m(id, old, new)"
  if (changing.length > 0) {
    await tx.query(`delete from ${keys} where key = any($1::text[]) and until <= now()`, [values[2]])
    await tx.query(
      `insert into ${keys} (key, job, queue, name, until)
       select m.new, u.job, $4, u.name, u.until from ${given} join ${keys} u on u.key = m.old and u.job = m.id order by m.new
       on conflict do nothing`,
      [...values, queue],
    )
  }
  const { rows: lost } = await tx.query<{ id: string }>(
    `select m.id from ${given} join ${keys} u on u.key = m.old and u.job = m.id
     where not exists (select 1 from ${keys} o where o.key = m.new and o.job = m.id)`,
    values,
  )
  const stay = new Set(lost.map(({ id }) => id))
  const going = rows.filter(({ id }) => !stay.has(id))
  const gone = going.flatMap(({ reserved }) => (reserved !== keyIn(queue, reserved) ? [reserved] : []))
  const ids = going.map(({ id }) => id)
  await tx.query(`delete from ${keys} where key = any($1::text[]) and job = any($2::uuid[])`, [gone, ids])
  // A push that finds its key taken is told where the holder is.
  await tx.query(`update ${keys} set queue = $2 where job = any($1::uuid[]) and queue <> $2`, [ids, queue])
  return going
}
