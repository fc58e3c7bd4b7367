import { defineJob, type Millrace } from "millrace"
import { randomBytes } from "node:crypto"
import { afterAll, beforeAll, expect, test } from "vitest"
import { fixture, rejection, until, type Fixture } from "../support/app.ts"

let own: Fixture
beforeAll(async () => {
  own = await fixture()
})
afterAll(() => own.close())

const work = defineJob<string, string>({ name: "work" })
const fresh = () => `s_${randomBytes(5).toString("hex")}`

async function objectsIn(schema: string): Promise<number> {
  const { rows } = await own.pool.query(
    `select (select count(*) from pg_class c where c.relnamespace = n.oid)
       + (select count(*) from pg_proc p where p.pronamespace = n.oid) as count from pg_namespace n where n.nspname = $1`,
    [schema],
  )
  return rows.length === 0 ? 0 : Number((rows[0] as { count: string }).count)
}

test("migrating creates the tables, again it changes nothing", async () => {
  const schema = fresh()
  const app = await own.app({ schema, migrate: false })
  expect(await objectsIn(schema)).toBe(0)
  const { from, to } = await app.migrate()
  expect([from, to > 0]).toEqual([0, true])
  const job = await app.push(work, "kept")
  const before = await objectsIn(schema)
  expect(await app.migrate()).toEqual({ from: to, to })
  expect(await app.migrate({ to })).toEqual({ from: to, to })
  expect(await objectsIn(schema)).toBe(before)
  expect((await job.get())?.payload).toBe("kept")
})

test("migrating to 0 leaves nothing behind, and the way back works", async () => {
  const schema = fresh()
  const app = await own.app({ schema })
  const before = await objectsIn(schema)
  await app.push(work, "gone")
  const { to: newest } = await app.migrate()
  expect(await app.migrate({ to: 0 })).toEqual({ from: newest, to: 0 })
  const { rows } = await own.pool.query("select 1 from pg_namespace where nspname = $1", [schema])
  expect(rows).toEqual([])
  expect(await app.migrate({ to: 0 })).toEqual({ from: 0, to: 0 })
  expect(await app.migrate()).toEqual({ from: 0, to: newest })
  expect(await objectsIn(schema)).toBe(before)
  expect((await (await app.push(work, "again")).get())?.payload).toBe("again")
})

test("every step has a way down that its way up undoes", async () => {
  const app = await own.app({ schema: fresh() })
  const { to: newest } = await app.migrate()
  for (let version = newest; version > 0; version--) {
    expect(await app.migrate({ to: version - 1 })).toEqual({ from: version, to: version - 1 })
    expect(await app.migrate()).toEqual({ from: version - 1, to: newest })
    await app.migrate({ to: version - 1 })
  }
})

test("any number of apps may migrate at once", async () => {
  const schema = fresh()
  const apps = await Promise.all(Array.from({ length: 5 }, () => own.app({ schema, migrate: false })))
  const done = await Promise.all(apps.map((app) => app.migrate()))
  expect(done.filter(({ from }) => from === 0)).toHaveLength(1)
  expect(new Set(done.map(({ to }) => to)).size).toBe(1)
  for (const app of apps) await app.push(work, "x")
  const { rows } = await own.pool.query(`select count(*)::int as count from ${schema}.jobs`)
  expect(rows[0]).toEqual({ count: 5 })
})

test.each([
  [10_000, "MILLRACE_BAD_VERSION", /known are 0 to \d+/],
  [-1, "MILLRACE_BAD_OPTION", /migrate\.to: expected a whole number of at least 0/],
  [0.5, "MILLRACE_BAD_OPTION", /migrate\.to: expected a whole number/],
  [Number.NaN, "MILLRACE_BAD_OPTION", /migrate\.to: expected a whole number/],
  ["1", "MILLRACE_BAD_OPTION", /migrate\.to: expected a whole number/],
] as const)("version %j is refused, with what is known", async (to, code, says) => {
  const schema = fresh()
  const app = await own.app({ schema, migrate: false })
  const error = await rejection(app.migrate({ to: to as number }))
  expect(error).toMatchObject({ code })
  expect(error.message).toMatch(says)
  expect(await objectsIn(schema)).toBe(0)
})

test("a misspelt option of migrate is refused, and nothing is migrated", async () => {
  const schema = fresh()
  const app = await own.app({ schema, migrate: false })
  const error = await rejection(app.migrate({ too: 0 } as object))
  expect(error).toMatchObject({ code: "MILLRACE_UNKNOWN_OPTION" })
  expect(await objectsIn(schema)).toBe(0)
})

test("a schema that a newer release has migrated is left alone", async () => {
  const schema = fresh()
  const app = await own.app({ schema })
  await own.pool.query(`insert into ${schema}.migrations (component, version) values ('core', 999)`)
  const error = await rejection(app.migrate())
  expect(error).toMatchObject({ code: "MILLRACE_BAD_VERSION" })
  expect(error.message).toMatch(/999, newer than this release.*upgrade the package/)
})

test("a worker refuses to start before the migration, and says what to call", async () => {
  const app = await own.app({ schema: fresh(), migrate: false })
  const error = await rejection(own.worker(app))
  expect(error).toMatchObject({ code: "MILLRACE_NOT_MIGRATED" })
  expect(error.message).toContain("await app.migrate()")
})

test("a push before the migration says what to call", async () => {
  const app = await own.app({ schema: fresh(), migrate: false })
  const error = await rejection(app.push(work, "early"))
  expect(error).toMatchObject({ code: "MILLRACE_NOT_MIGRATED" })
  expect(error.message).toContain("await app.migrate()")
})

test("two schemas in one database never hear or run each other's jobs", async () => {
  const ran: string[] = []
  const heard: string[] = []
  const [left, right] = await Promise.all([own.app({ schema: "left_side" }), own.app({ schema: "right_side" })])
  const listener = await own.pool.connect()
  const hear = (message: { channel: string; payload?: string | undefined }) =>
    void heard.push(`${message.channel} ${message.payload}`)
  listener.on("notification", hear)
  try {
    await listener.query("listen left_side_events")
    for (const [app, side] of [
      [left, "left"],
      [right, "right"],
    ] as [Millrace, string][]) {
      await own.worker(app, { id: "same-id", handlers: [work.handler((what) => (ran.push(`${side} ${what}`), side))] })
    }
    const inRight = await right.push(work, "r", { uniqueKey: "same key" })
    const inLeft = await left.push(work, "l", { uniqueKey: "same key" })
    expect([inLeft.duplicate, inRight.duplicate]).toEqual([false, false])
    expect(await Promise.all([inLeft, inRight].map((job) => job.result({ timeout: "20s" })))).toEqual(["left", "right"])
    expect(ran.toSorted()).toEqual(["left l", "right r"])
    expect(await right.job(inLeft.id).get()).toBeUndefined()
    await right.declareQueue("only-right")
    await left.declareQueue("only-left")
    await until(() => heard.some((line) => line.includes("only-left")), "the left one is heard")
    expect(heard.filter((line) => line.includes("only-right") || line.startsWith("right"))).toEqual([])
    expect((await left.queues()).map(({ name }) => name)).not.toContain("only-right")
  } finally {
    await listener.query("unlisten *")
    listener.off("notification", hear)
    listener.release()
  }
})

test("removing one schema leaves the other as it is", async () => {
  const [a, b] = await Promise.all([own.app({ schema: fresh() }), own.app({ schema: fresh() })])
  const job = await b.push(work, "stays")
  await a.migrate({ to: 0 })
  expect((await job.get())?.payload).toBe("stays")
})
