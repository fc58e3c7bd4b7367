import fc from "fast-check"
import { defineJob, ruleFrom, type Comparison, type JobRecord, type Rule, type RuleData } from "millrace"
import { expect, test } from "vitest"
import { ruleFrom as sourceRule } from "../../src/model/rule.ts"
import { compileRule, type Source } from "../../src/postgres/rule-sql.ts"
import { names } from "../../src/postgres/sql.ts"
import { startApp } from "../support/start-app.ts"

/*
 * Every rule is asked twice: of PostgreSQL, and of the records that the app reads, by the evaluation below, which knows
 * nothing of SQL.
 */

function valueOf(job: JobRecord, { field, path = [] }: Comparison): unknown {
  const root = (job as unknown as Record<string, unknown>)[field]
  return path.reduce<unknown>(
    (at, key) =>
      typeof at === "object" && at !== null && !Array.isArray(at) ? (at as Record<string, unknown>)[key] : undefined,
    root,
  )
}

function like(text: string, pattern: string): boolean {
  const parts = [...pattern.matchAll(/\\(.)|(%)|(_)|([^])/gu)].map(([, escaped, many, one, plain]) => {
    if (many) return "[^]*"
    return one ? "[^]" : (escaped ?? plain)!.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&")
  })
  return new RegExp(`^${parts.join("")}$`, "u").test(text)
}

function holds(job: JobRecord, data: RuleData): boolean {
  if ("all" in data) return data.all.every((one) => holds(job, one))
  if ("any" in data) return data.any.some((one) => holds(job, one))
  if ("not" in data) return !holds(job, data.not)
  const found = valueOf(job, data)
  const { field, is, value } = data
  if (field === "tags") {
    if (is === "isNull") return job.tags.length === 0
    return [value].flat().some((tag) => job.tags.includes(String(tag)))
  }
  if (is === "isNull") return found === undefined || found === null
  if (is === "ne") return found !== value
  if (found === undefined || found === null) return false
  if (is === "eq") return found === value
  if (is === "in") return (value as readonly unknown[]).includes(found)
  if (is === "like") return typeof found === "string" && like(found, String(value))
  if (is === "contains") {
    if (Array.isArray(found)) return found.includes(value)
    return typeof found === "string" && typeof value === "string" && found.includes(value)
  }
  if (typeof found !== typeof value) return false
  const [a, b] = [found as number, value as number]
  return { gt: a > b, gte: a >= b, lt: a < b, lte: a <= b }[is as "gt"]
}

const word = fc.constantFrom("a", "b", "ab", "A", "a%b", "a_b", "a\\b", "é", "'", '"', "{}", "%", "")
const scalar = fc.oneof(word, fc.constantFrom(0, 1, -1, 2.5), fc.boolean())
const json = fc.oneof(scalar, fc.constant(null), fc.array(scalar, { maxLength: 3 }))
const order = ["gt", "gte", "lt", "lte"]
const keys = fc.constantFrom(["x"], ["y"], ["x", "z"], ['q"'])
const compare = (field: string, is: readonly string[], value: fc.Arbitrary<unknown>) =>
  fc.record({ field: fc.constant(field), is: fc.constantFrom(...is), value })
const without = (field: string) => fc.constant({ field, is: "isNull" })
const atPath = (field: string) =>
  fc
    .tuple(
      fc.oneof(
        compare(field, ["eq", "ne", "contains"], scalar),
        compare(field, order, fc.oneof(word, fc.constantFrom(0, 1, 2.5))),
        compare(field, ["in"], fc.array(scalar, { maxLength: 3 })),
        compare(field, ["like"], word),
        without(field),
      ),
      keys,
    )
    .map(([comparison, path]) => ({ ...comparison, path }))
const queues = fc.constantFrom("a", "b", "ab", "A")
const leaf = fc.oneof(
  compare("queue", ["eq", "ne", "contains"], queues),
  compare("uniqueKey", ["eq", "ne", "contains", "like"], word),
  without("uniqueKey"),
  compare("worker", ["eq", "ne"], word),
  compare("state", ["eq", "ne"], fc.constantFrom("pending", "scheduled", "cancelled")),
  compare("state", ["in"], fc.subarray(["pending", "scheduled", "cancelled", "failed"])),
  compare("priority", ["eq", "ne", ...order], fc.integer({ min: -2, max: 2 })),
  compare("attempts", ["in"], fc.subarray([0, 1, 2])),
  compare("tags", ["contains"], word),
  compare("tags", ["in"], fc.array(word, { maxLength: 3 })),
  without("tags"),
  without("finishedAt"),
  atPath("meta"),
  atPath("payload"),
)
const anyRule = fc.letrec<{ rule: unknown }>((tie) => ({
  rule: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.record({ all: fc.array(tie("rule"), { maxLength: 3 }) }),
    fc.record({ any: fc.array(tie("rule"), { maxLength: 3 }) }),
    fc.record({ not: tie("rule") }),
  ),
})).rule

const samples = fc.sample(
  fc.record({
    payload: fc.oneof(
      json,
      fc.record({ x: json, y: json }, { requiredKeys: [] }),
      fc.record({ x: fc.record({ z: json }) }),
    ),
    meta: fc.record({ x: json, 'q"': json }, { requiredKeys: [] }),
    queue: queues,
    key: fc.option(word.filter((one) => one !== "")),
    scope: fc.constantFrom("global" as const, "queue" as const, "name" as const),
    tags: fc.uniqueArray(
      word.filter((one) => one !== ""),
      { maxLength: 2 },
    ),
    priority: fc.integer({ min: -2, max: 2 }),
    later: fc.boolean(),
    ends: fc.boolean(),
  }),
  { numRuns: 120, seed: 7 },
)

test("whatever the rule, PostgreSQL and a plain evaluation agree on which jobs it means", async () => {
  const { app, sql, schema } = await startApp({ worker: false })
  const some = defineJob<unknown>({ name: "some" })
  const ids = new Set<string>()
  for (const { payload, meta, queue, key, scope, tags, priority, later, ends } of samples) {
    const unique = key === null ? {} : { uniqueKey: { key, scope } }
    const job = await app.push(some, payload, { meta, queue, tags, priority, ...(later && { delay: "1h" }), ...unique })
    ids.add(job.id)
    if (ends) await job.cancel()
  }
  const jobs = await Promise.all([...ids].map(async (id) => (await app.job(id).get())!))
  const ask = async (rule: Rule, source: Source) => {
    const { sql: condition, values } = compileRule(sourceRule(rule.data), source, names(schema))
    const table = source === "jobs" ? "jobs" : "jobs_history"
    const rows = await sql<{ id: string }>(`select j.id from $schema.${table} j where ${condition}`, values)
    return rows.map(({ id }) => id)
  }
  await fc.assert(
    fc.asyncProperty(anyRule, async (given) => {
      const rule = ruleFrom(given)
      const expected = jobs.filter((job) => holds(job, rule.data)).map(({ id }) => id)
      const found = [...(await ask(rule, "jobs")), ...(await ask(rule, "history"))]
      expect(found.toSorted()).toEqual(expected.toSorted())
    }),
    { numRuns: 300 },
  )
}, 60_000)
