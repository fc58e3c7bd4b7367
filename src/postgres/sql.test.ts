import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../../test/support/database.ts"
import { names, plainArray, textArray } from "./sql.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** Any text that PostgreSQL can hold. */
const text = fc.string({ unit: "binary" }).filter((one) => !/\0|\p{Surrogate}/u.test(one))
const nasty = fc.constantFrom(
  "",
  " ",
  "NULL",
  "null",
  "\\",
  '"',
  '\\"',
  "{",
  "}",
  ",",
  "a,b",
  "'",
  "\n",
  "🦉",
  "ä",
  "$1",
  "\\u0000",
)

test("any list of texts and nulls arrives as it was", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(text, nasty, fc.constant(null)), { maxLength: 20 }), async (values) => {
      const { rows } = await database.pool.query("select $1::text[] as values", [textArray(values)])
      expect(rows).toEqual([{ values }])
    }),
    { numRuns: 200 },
  )
})

test("lists of ids and numbers arrive as they were", async () => {
  const ids = ["01890a5d-ac96-774b-bcce-b302099a8057", "00000000-0000-0000-0000-000000000000"]
  const { rows } = await database.pool.query("select $1::uuid[] as ids, $2::integer[] as numbers, $3::uuid[] as none", [
    plainArray(ids),
    plainArray([1, -2, 2_147_483_647]),
    plainArray([]),
  ])
  expect(rows).toEqual([{ ids, numbers: [1, -2, 2_147_483_647], none: [] }])
})

test("names are quoted, and those of another schema are others", () => {
  const all = names("select")
  expect([all.plain, all.schema, all.channel, all.of("jobs")]).toEqual([
    "select",
    '"select"',
    "select_events",
    '"select"."jobs"',
  ])
  expect(names("other").of("jobs")).not.toBe(all.of("jobs"))
})

test("whatever would have to be escaped is no name", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z_"'; .-]{0,50}$/)), (name) => {
      fc.pre(!/^[a-z_][a-z0-9_]{0,39}$/.test(name))
      expect(() => names(name)).toThrow(expect.objectContaining({ code: "MILLRACE_BAD_SCHEMA" }))
      expect(() => names("fine").of(name)).toThrow(expect.objectContaining({ code: "MILLRACE_BAD_SCHEMA" }))
    }),
  )
})
