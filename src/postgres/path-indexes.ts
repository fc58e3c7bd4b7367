import { createHash } from "node:crypto"
import type { Connection, Database } from "../model/database.ts"
import { pathLiteral } from "./rule-sql.ts"
import { sqlState } from "./sqlstate.ts"
import type { Names } from "./sql.ts"

/*
 * Indexes that an installation declares over values inside payload or meta. They are ordinary expression indexes; their
 * comments say what they are, so no table has to remember it.
 */

/** A place inside payload or meta. */
export interface JsonPath {
  readonly field: "payload" | "meta"
  readonly path: readonly string[]
}

const nameOf = ({ field, path }: JsonPath): string =>
  `path_${createHash("sha256")
    .update(JSON.stringify([field, ...path]))
    .digest("hex")
    .slice(0, 16)}`

const expression = ({ field, path }: JsonPath): string => `((${field} #> ${pathLiteral(path)}))`

/** Declares one, on both tables, while everything goes on. Interrupted, it goes on when called again. */
export async function declarePathIndex(db: Database, names: Names, place: JsonPath): Promise<void> {
  const name = nameOf(place)
  await buildIndex(db, names, "jobs", `jobs_${name}`, place)
  const parent = names.of(`history_${name}`)
  // On the partitioned table it holds nothing; it is valid once each partition has its part.
  await db.query(
    `create index if not exists "history_${name}" on only ${names.of("jobs_history")} ${expression(place)}`,
  )
  await say(db, parent, place)
  for (const partition of await partitionsWithout(db, names, `history_${name}`)) {
    const part = `h_${name}_${partition.replace("jobs_history_", "")}`
    await buildIndex(db, names, partition, part, place)
    await db.query(`alter index ${parent} attach partition ${names.of(part)}`).catch((error: unknown) => {
      if (!gone.has(sqlState(error))) throw error // the partition was dropped meanwhile
    })
  }
  await say(db, names.of(`jobs_${name}`), place)
}

const gone = new Set(["42P01", "55000"])

async function buildIndex(db: Connection, names: Names, table: string, name: string, place: JsonPath): Promise<void> {
  const { rows } = await db.query<{ valid: boolean }>(
    "select indisvalid as valid from pg_index where indexrelid = to_regclass($1)",
    [names.of(name)],
  )
  if (rows[0]?.valid) return
  if (rows[0]) await db.query(`drop index concurrently if exists ${names.of(name)}`) // what an interrupted build left
  await db.query(`create index concurrently if not exists "${name}" on ${names.of(table)} ${expression(place)}`)
}

const say = (db: Connection, index: string, { field, path }: JsonPath) =>
  db.query(`comment on index ${index} is ${quoted(JSON.stringify([field, ...path]))}`)

const quoted = (text: string): string =>
  `${text.includes("\\") ? "E" : ""}'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`

async function partitionsWithout(db: Connection, names: Names, index: string): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = to_regclass($1) and not exists (
       select 1 from pg_inherits ii join pg_index x on x.indexrelid = ii.inhrelid
       where ii.inhparent = to_regclass($2) and x.indrelid = c.oid)
     order by 1`,
    [names.of("jobs_history"), names.of(index)],
  )
  return rows.map((row) => row.name)
}

/** Those that are declared and ready. */
export async function pathIndexes(db: Connection, names: Names): Promise<JsonPath[]> {
  const { rows } = await db.query<{ about: string }>(
    `select d.description as about from pg_class c join pg_namespace n on n.oid = c.relnamespace
       join pg_index x on x.indexrelid = c.oid join pg_description d on d.objoid = c.oid and d.objsubid = 0
     where n.nspname = $1 and c.relname like 'jobs\\_path\\_%' and x.indisvalid order by c.relname`,
    [names.plain],
  )
  return rows.map(({ about }) => {
    const [field, ...path] = JSON.parse(about) as ["payload" | "meta", ...string[]]
    return { field, path }
  })
}

/** @returns whether there was one. */
export async function dropPathIndex(db: Connection, names: Names, place: JsonPath): Promise<boolean> {
  const name = nameOf(place)
  const { rows } = await db.query<{ found: boolean }>("select to_regclass($1) is not null as found", [
    names.of(`jobs_${name}`),
  ])
  await db.query(`drop index concurrently if exists ${names.of(`jobs_${name}`)}`)
  await db.query(`drop index if exists ${names.of(`history_${name}`)}`)
  return rows[0]?.found === true
}
