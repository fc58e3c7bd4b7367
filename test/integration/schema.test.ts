import fs from "node:fs"
import { Millrace } from "millrace"
import { expect, test } from "vitest"
import { renderSchema, schemaFile } from "../../scripts/schema.mjs"
import { testDatabase } from "../support/database.ts"

test("schema.sql is what the migrations say; `node scripts/schema.mjs` writes it anew", async () => {
  expect(fs.readFileSync(schemaFile, "utf8")).toBe(await renderSchema())
})

/** Everything that a schema holds, as the catalogue describes it. */
const described = `
  select 'table ' || c.relname || ' ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ||
      ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') as what
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'millrace'::regnamespace and c.relkind in ('r', 'p', 'v')
      and c.relname <> 'migrations' and c.relname !~ '^jobs_history_p[0-9]'
  union all
  select 'index ' || pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relnamespace = 'millrace'::regnamespace and c.relname <> 'migrations' and c.relname !~ '^jobs_history_p[0-9]'
  union all
  select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(k.oid) from pg_constraint k
    where k.connamespace = 'millrace'::regnamespace and k.conrelid::regclass::text !~ 'migrations|jobs_history_p[0-9]'
  union all
  select 'function ' || pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'millrace'::regnamespace
  order by 1`

test("schema.sql, run by hand, makes what migrate makes", async () => {
  const [migrated, byHand] = await Promise.all([testDatabase(), testDatabase()])
  const app = new Millrace({ pool: migrated.pool, logger: false })
  try {
    await app.migrate()
    await byHand.pool.query(fs.readFileSync(schemaFile, "utf8"))
    const [expected, made] = await Promise.all([migrated.pool.query(described), byHand.pool.query(described)])
    expect(expected.rows.length).toBeGreaterThan(100)
    expect(made.rows).toEqual(expected.rows)
  } finally {
    await app.close()
    await Promise.all([migrated.close(), byHand.close()])
  }
})
