import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "./database.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

test("a test file has an empty database of its own", async () => {
  const { rows } = await database.pool.query("select current_database() as name")
  expect(new URL(database.url).pathname).toBe(`/${rows[0].name}`)
  const tables = await database.pool.query("select 1 from pg_tables where schemaname = 'public'")
  expect(tables.rows).toEqual([])
})

test("two databases do not see each other's tables", async () => {
  const other = await testDatabase()
  try {
    await database.pool.query("create table only_here ()")
    await expect(other.pool.query("select from only_here")).rejects.toMatchObject({ code: "42P01" })
  } finally {
    await other.close()
  }
})

test("the package is loaded from dist", async () => {
  expect(import.meta.resolve("millrace")).toMatch(/\/dist\/index\.js$/)
  await expect(import("millrace")).resolves.toBeTypeOf("object")
})
