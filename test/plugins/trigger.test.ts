import { defineJob, triggers, type TriggerEvent, type TriggerOptions } from "millrace"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { z } from "zod"
import { rejection } from "../support/app.ts"
import { testDatabase } from "../support/database.ts"
import { startApp, until } from "../support/start-app.ts"

const welcome = defineJob({
  name: "welcome",
  queue: "mail",
  priority: 3,
  payload: z.object({ userId: z.number(), mail: z.email() }),
})
const changed = defineJob<Record<string, unknown>>({ name: "changed" })

/** An app with triggers, a table of users beside it, and no worker. */
async function withUsers() {
  const pushes = triggers()
  const started = await startApp({ worker: false, app: { plugins: [pushes] } })
  const users = `users_${started.schema}`
  await started.sql(`create table ${users} (id integer primary key, email text, name text, age integer default 30)`)
  const jobs = async () =>
    await started.sql<{ name: string; queue: string; rank: number; payload: unknown; trigger: unknown }>(
      "select name, queue, rank, payload, meta -> 'trigger' as trigger from $schema.jobs order by id",
    )
  const on = <Input>(events: readonly TriggerEvent[], options?: TriggerOptions<Input>, job: typeof changed = changed) =>
    pushes.on(users, events, job, options as never)
  return { ...started, pushes, users, jobs, on, payloads: async () => (await jobs()).map(({ payload }) => payload) }
}

test("each inserted row pushes a job with the columns it asked for, with the definition's defaults, in one push", async () => {
  const { pushes, users, sql, jobs, schema } = await withUsers()
  const trigger = await pushes.on(users, ["insert"], welcome, { payload: { userId: "id", mail: "email" } })
  expect(trigger).toMatchObject({
    name: `${users}_welcome`,
    table: `public.${users}`,
    events: ["insert"],
    job: "welcome",
    queue: "mail",
    enabled: true,
    wake: true,
    installed: [{ trigger: `${schema}_${users}_welcome_insert`, on: true }],
  })
  await sql(`insert into ${users} select n, 'u' || n || '@x.org' from generate_series(1, 1500) n`)
  const pushed = await jobs()
  expect(pushed).toHaveLength(1500)
  expect(pushed[0]).toEqual({
    name: "welcome",
    queue: "mail",
    rank: -3,
    payload: { userId: 1, mail: "u1@x.org" },
    trigger: { name: trigger.name, event: "insert", table: `"public"."${users}"` },
  })
  expect(pushed.map(({ payload }) => (payload as { userId: number }).userId)).toEqual(
    Array.from({ length: 1500 }, (_, n) => n + 1),
  )
})

test("what is rolled back pushes nothing", async () => {
  const { on, sql, users, url, payloads } = await withUsers()
  await on(["insert"], { payload: ["id"] })
  const client = new pg.Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  await client.query("begin")
  await client.query(`insert into ${users} values (1)`)
  await client.query("rollback")
  await sql(`insert into ${users} values (2)`)
  expect(await payloads()).toEqual([{ id: 2 }])
})

test("when and columns choose among the rows of an update, also when their keys change", async () => {
  const { on, sql, users, payloads } = await withUsers()
  await sql(`insert into ${users} select n, 'u' || n, 'name' from generate_series(1, 6) n`)
  await on(["update"], {
    columns: ["email", "id"],
    when: "new.age > 20 and old.id <> 3",
    payload: { from: { sql: "old.id" }, to: "id", what: { value: "it's" } },
  })
  await sql(`update ${users} set name = 'other'`)
  await sql(`update ${users} set email = email`)
  expect(await payloads()).toEqual([])
  await sql(`update ${users} set id = id + 100, age = case when id = 4 then 10 else age end`)
  expect(await payloads()).toEqual([1, 2, 5, 6].map((id) => ({ from: id, to: id + 100, what: "it's" })))
})

test("a deleted row is pushed as it was; without a payload a statement pushes one job", async () => {
  const { on, sql, users, payloads, pushes } = await withUsers()
  await on(["delete"], { payload: "row", name: "gone" })
  await on(["insert", "update", "delete"], { name: "any_change" })
  await sql(`insert into ${users} values (1, 'a'), (2, 'b')`)
  await sql(`update ${users} set name = 'n'`)
  await sql(`delete from ${users} where id = 1`)
  await sql(`delete from ${users} where id = 7`)
  const table = `"public"."${users}"`
  expect(await payloads()).toEqual([
    { table, event: "insert", rows: 2 },
    { table, event: "update", rows: 2 },
    { table, event: "delete", rows: 1 },
    { id: 1, email: "a", name: "n", age: 30 },
  ])
  expect((await pushes.list()).map(({ name, events }) => [name, events])).toEqual([
    ["any_change", ["insert", "update", "delete"]],
    ["gone", ["delete"]],
  ])
})

test("rows that move between partitions, upserts and merges are seen", async () => {
  const { pushes, sql, schema, payloads } = await withUsers()
  const table = `orders_${schema}`
  await sql(`create table ${table} (id integer, state text, primary key (id, state)) partition by list (state)`)
  for (const state of ["new", "paid"])
    await sql(`create table ${table}_${state} partition of ${table} for values in ('${state}')`)
  await pushes.on(table, ["insert", "update"], changed, { payload: { id: "id", state: "state" } })
  await sql(`insert into ${table} values (1, 'new'), (2, 'new')`)
  await sql(`update ${table} set state = 'paid' where id = 2`)
  await sql(`insert into ${table} values (1, 'new'), (3, 'new') on conflict (id, state) do update set state = 'new'`)
  expect(await payloads()).toEqual(
    expect.arrayContaining([
      { id: 1, state: "new" },
      { id: 2, state: "new" },
      { id: 2, state: "paid" },
      { id: 3, state: "new" },
    ]),
  )
  expect(await payloads()).toHaveLength(5)
})

test("the same call does nothing again; another one changes what is there", async () => {
  const { on, sql, users, payloads } = await withUsers()
  const options = { payload: ["id"], name: "same" } as const
  const first = await on(["insert", "update"], options)
  const lock = `select array_agg(oid order by oid)::text as oids from pg_trigger where tgrelid = '${users}'::regclass`
  const before = await sql(lock)
  expect(await on(["insert", "update"], options)).toEqual(first)
  expect(await sql(lock)).toEqual(before)
  const next = await on(["insert"], {
    ...options,
    payload: ["email"],
    wake: false,
    push: { priority: 9, queue: "slow" },
  })
  expect(next).toMatchObject({ events: ["insert"], queue: "slow", wake: false })
  expect(next.installed).toHaveLength(1)
  await sql(`insert into ${users} values (1, 'a')`)
  await sql(`update ${users} set email = 'b'`)
  expect(await payloads()).toEqual([{ email: "a" }])
})

test("a disabled trigger pushes nothing until it is enabled; a dropped one is gone", async () => {
  const { on, sql, users, payloads, pushes } = await withUsers()
  const { name } = await on(["insert"], { payload: ["id"] })
  await pushes.disable(name)
  expect((await pushes.list())[0]!.enabled).toBe(false)
  await sql(`insert into ${users} values (1)`)
  await pushes.enable(name)
  await sql(`insert into ${users} values (2)`)
  expect(await pushes.drop(name)).toBe(true)
  expect(await pushes.drop(name)).toBe(false)
  await sql(`insert into ${users} values (3)`)
  expect(await payloads()).toEqual([{ id: 2 }])
  expect(await pushes.list()).toEqual([])
  expect(await sql(`select 1 from pg_trigger where tgrelid = '${users}'::regclass`)).toEqual([])
  expect(await rejection(pushes.enable(name))).toMatchObject({ code: "MILLRACE_UNKNOWN_TRIGGER" })
})

test("a unique key made by SQL pushes one job for as long as it is unfinished", async () => {
  const keyed = defineJob<{ id: number }>({ name: "keyed", uniqueKey: ({ id }) => `user ${id}` })
  const { app, pushes, users, sql, payloads } = await withUsers()
  expect(await rejection(pushes.on(users, ["insert"], keyed, { payload: ["id"] }))).toMatchObject({
    code: "MILLRACE_BAD_TRIGGER",
    message: expect.stringMatching(/made by code.*uniqueKey: "'user ' \|\| new.id"/) as string,
  })
  await app.push(keyed, { id: 1 })
  await pushes.on(users, ["insert", "update"], keyed, { payload: ["id"], uniqueKey: "'user ' || new.id" })
  await sql(`insert into ${users} values (1), (2), (3)`)
  await sql(`update ${users} set name = 'x'`)
  expect(await payloads()).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }])
})

test("a definition whose limit key is code needs one that is none", async () => {
  const limited = defineJob<{ id: number }>({ name: "limited", limitKey: ({ id }) => id })
  const { pushes, users, sql, payloads } = await withUsers()
  expect((await rejection(pushes.on(users, ["insert"], limited, { payload: ["id"] }))).message).toMatch(
    /push: \{ limitKey/,
  )
  await pushes.on(users, ["insert"], limited, { payload: ["id"], push: { limitKey: "imports" } })
  await sql(`insert into ${users} values (1)`)
  expect(await payloads()).toEqual([{ id: 1 }])
})

test("a row whose key is null pushes a job without one", async () => {
  const { on, sql, users, payloads } = await withUsers()
  await on(["insert"], { payload: ["id"], uniqueKey: "new.email" })
  await sql(`insert into ${users} values (1, 'a'), (2, null), (3, 'a'), (4, null)`)
  expect(await payloads()).toEqual([{ id: 1 }, { id: 2 }, { id: 4 }])
})

test("a table with a name that needs quotes, in another schema, that is renamed later", async () => {
  const { pushes, sql, schema, payloads } = await withUsers()
  await sql(`create schema "Other ${schema}"`)
  await sql(`create table "Other ${schema}"."user" ("Full Name" text, "it's" integer)`)
  const options = { name: "odd", payload: { name: "Full Name", n: "it's" } } as const
  await pushes.on(`"Other ${schema}"."user"`, ["insert"], changed, options)
  const next = await pushes.on(`"Other ${schema}"."user"`, ["insert"], changed, { ...options, when: `new."it's" > 1` })
  expect(next.table).toBe(`"Other ${schema}"."user"`)
  await sql(`alter table "Other ${schema}"."user" rename to people`)
  await sql(`insert into "Other ${schema}".people values ('Ada', 1), ('Grace', 2)`)
  expect(await payloads()).toEqual([{ name: "Grace", n: 2 }])
  expect((await pushes.list())[0]!.table).toBe(`"Other ${schema}".people`)
  await sql(`drop table "Other ${schema}".people`)
  expect((await pushes.list())[0]!.installed).toEqual([])
})

test("whoever may write to the table needs no right on ours", async () => {
  const { on, sql, users, url, payloads, schema } = await withUsers()
  await on(["insert"], { payload: ["id"] })
  const role = `writer_${schema}_${process.pid}`
  await sql(`create role ${role} login password 'secret'`)
  await sql(`grant insert on ${users} to ${role}`)
  onTestFinished(async () => void (await sql(`drop owned by ${role}; drop role ${role}`)))
  const writer = new URL(url)
  writer.username = role
  writer.password = "secret"
  const client = new pg.Client(writer.href)
  await client.connect()
  await client.query(`insert into ${users} values (5)`)
  await expect(client.query(`select ${schema}.trigger_check_1('drop table x')`)).rejects.toMatchObject({
    code: "42501",
  })
  await client.end()
  expect(await payloads()).toEqual([{ id: 5 }])
})

test("workers run what triggers push at once, or at the next poll without a wake-up; a schema that refuses fails the job", async () => {
  const { pushes, users, sql, addWorker, app } = await withUsers()
  const seen: unknown[] = []
  await addWorker({
    handlers: [welcome.handler((user) => void seen.push(user)), changed.handler((row) => void seen.push(row))],
  })
  await pushes.on(users, ["insert"], welcome, { payload: { userId: "id", mail: "email" }, push: { maxAttempts: 1 } })
  await pushes.on(users, ["delete"], changed, { payload: ["id"], wake: false })
  await sql(`insert into ${users} values (1, 'a@b.org'), (2, 'nonsense')`)
  await until(() => seen.length === 1)
  expect(seen).toEqual([{ userId: 1, mail: "a@b.org" }])
  await until(async () => (await app.find({ state: "failed" })).jobs.length === 1)
  const [failed] = (await app.find({ state: "failed" })).jobs
  expect(failed!.errors[0]).toMatchObject({ code: "MILLRACE_BAD_PAYLOAD" })
  await sql(`delete from ${users} where id = 2`)
  await until(() => seen.length === 2)
})

test("triggers survive a dump and a restore", async ({ skip }) => {
  const { on, url, users, schema } = await withUsers()
  await on(["insert"], { payload: ["id"] })
  const other = await testDatabase()
  onTestFinished(() => other.close())
  const tool = promisify(execFile)
  // An older pg_dump refuses a newer server, and not every machine has one.
  const dump = await tool("pg_dump", ["--dbname", url, "--no-owner", "--inserts"], { maxBuffer: 1e8 }).catch(
    (error: NodeJS.ErrnoException & { stderr?: string }) => {
      if (error.code === "ENOENT" || error.stderr?.includes("version mismatch")) return undefined
      throw error
    },
  )
  if (!dump) return skip("no pg_dump for this server")
  await other.pool.query(dump.stdout.replaceAll(/^\\.*$/gm, ""))
  await other.pool.query(`insert into public.${users} values (9)`)
  const { rows } = await other.pool.query(`select payload from ${schema}.jobs where payload = '{"id": 9}'`)
  expect(rows).toEqual([{ payload: { id: 9 } }])
})

test("removing the plugin's tables takes its triggers along", async () => {
  const { on, sql, users } = await withUsers()
  await on(["insert"], { payload: ["id"] })
  const { migrations } = triggers()
  const { names } = await import("../../src/postgres/sql.ts")
  for (const statement of migrations![0]!.down(names((await sql<{ s: string }>("select '$schema' as s"))[0]!.s)))
    await sql(statement)
  await sql(`insert into ${users} values (1)`)
  expect(await sql(`select 1 from pg_trigger where tgrelid = '${users}'::regclass`)).toEqual([])
})

test.each<[readonly TriggerEvent[], object, RegExp]>([
  [
    ["insert"],
    { payload: ["mail"] },
    /has no column "mail".*Did you mean "email"|has no column "mail".*It has: id, email/,
  ],
  [["update"], { columns: ["emial"], payload: "row" }, /has no column "emial". Did you mean "email"\?/],
  [["insert"], { columns: ["email"] }, /need the event "update"/],
  [
    ["insert"],
    { when: "new.nme is not null" },
    /refused for "insert", where the row is new: .*nme.*when: "new.active"/,
  ],
  [["insert"], { when: "old.id = 1" }, /where the row is new/],
  [["delete"], { when: "new.id = 1" }, /where the row is old.*when: "old.active"/],
  [["insert"], { when: "new.id" }, /boolean/],
  [["insert"], { when: "new.id = " }, /syntax error/],
  [["insert"], { payload: { a: { sql: "nofunction(new.id)" } } }, /nofunction/],
  [["insert"], { payload: 7 }, /must be "row", a list of columns, or a mapping such as \{ userId: "id"/],
  [["insert"], { payload: {}, uniqueKey: "" }, /must be SQL/],
  [["insert"], { uniqueKey: "'k'" }, /needs a payload per row/],
  [[], {}, /at least 1/],
  [["truncate" as never], {}, /"insert", "update", "delete"/],
  [["insert"], { name: "No Good" }, /30 lower-case letters/],
  [["insert"], { queue: "mail" }, /push: \{ queue: "mail" \}/],
  [["insert"], { push: { runAt: "in 1m" } }, /leave it out/],
  [["insert"], { when: "true $millrace$" }, /must not contain/],
])("what the table does not have is refused at once: %j %j", async (events, options, message) => {
  const { on, pushes } = await withUsers()
  expect((await rejection(on(events, options))).message).toMatch(message)
  expect(await pushes.list()).toEqual([])
})

test("a missing table, a view and our own tables are refused, and the caller's transaction goes on", async () => {
  const { pushes, sql, url, users, schema } = await withUsers()
  await sql(`create view ${users}_view as select * from ${users}`)
  const client = new pg.Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  await client.query("begin")
  for (const table of ["nobodys", `${users}_view`, `${schema}.jobs`, 'a"b', ""]) {
    expect(await rejection(pushes.on(table, ["insert"], changed, { tx: client }))).toMatchObject({
      code: "MILLRACE_BAD_TRIGGER",
    })
    if (table === 'a"b') await client.query("rollback").then(() => client.query("begin"))
  }
  await pushes.on(users, ["insert"], changed, { tx: client, payload: ["id"] })
  expect(await pushes.list({ tx: client })).toHaveLength(1)
  await client.query("rollback")
  expect(await pushes.list()).toEqual([])
})

test("a sample row tries the mapping and the schema at once", async () => {
  const { pushes, users } = await withUsers()
  const options = { payload: { userId: "id", mail: "email" } } as const
  expect(
    await rejection(pushes.on(users, ["insert"], welcome, { ...options, sample: { id: 1, email: "nonsense" } })),
  ).toMatchObject({
    code: "MILLRACE_BAD_PAYLOAD",
    message: expect.stringContaining("mail") as string,
  })
  expect((await pushes.on(users, ["insert"], welcome, { ...options, sample: { id: 1, email: "a@b.org" } })).job).toBe(
    "welcome",
  )
})
