import { age, defineJob, finishedAt, payload, priority, state, type JobFilter } from "millrace"
import { expect, test } from "vitest"
import { startApp } from "../support/start-app.ts"

interface Order {
  readonly customer: { readonly id: number; readonly name: string }
  readonly fail?: string
}
const order = defineJob<Order>({ name: "order", maxAttempts: 1 })
const mail = defineJob<string>({ name: "mail", queue: "mail" })

const orderOf = (id: number, more: Partial<Order> = {}): Order => ({ customer: { id, name: `c_${id}%` }, ...more })

/** Ten finished orders, of which three failed, and five waiting mails. */
async function filled() {
  const started = await startApp({
    queues: [{ name: "mail", tags: [] }],
    id: "worker-a",
    handlers: [
      order.handler(({ fail }) => {
        if (fail !== undefined) throw new Error(fail)
      }),
    ],
  })
  const { app } = started
  const orders = []
  for (let id = 1; id <= 10; id++) {
    const failing = id % 3 === 0 ? { fail: `card ${id} was refused` } : {}
    orders.push(
      await app.push(order, orderOf(id, failing), { tags: id % 2 ? ["odd"] : ["even"], meta: { tenant: "a" } }),
    )
  }
  await app.wait(orders, { timeout: "10s" })
  const mails = await app.pushMany(mail, ["a", "b", "c", "d", "e"], { priority: 5 })
  const ids = (references: readonly { readonly id: string }[]) => references.map(({ id }) => id)
  return { ...started, orders: ids(orders), mails: ids(mails) }
}

test("each field of a filter finds the jobs that it means", async () => {
  const { app, orders, mails } = await filled()
  const found = async (filter: JobFilter) => (await app.find(filter)).jobs.map((job) => job.id).toSorted()
  const some = (...numbers: number[]) => numbers.map((number) => orders[number - 1]!).toSorted()
  expect(await found({})).toEqual([...orders, ...mails].toSorted())
  expect(await found({ state: "pending" })).toEqual(mails.toSorted())
  expect(await found({ state: ["failed", "pending"] })).toEqual([...some(3, 6, 9), ...mails].toSorted())
  expect(await found({ queue: "mail" })).toEqual(mails.toSorted())
  expect(await found({ name: ["order", "other"] })).toEqual(orders.toSorted())
  expect(await found({ id: orders[0]! })).toEqual([orders[0]])
  expect(await found({ tags: ["odd"] })).toEqual(some(1, 3, 5, 7, 9))
  expect(await found({ anyTag: ["odd", "even"], state: "failed" })).toEqual(some(3, 6, 9))
  expect(await found({ worker: "worker-a" })).toEqual(orders.toSorted())
  expect(await found({ error: "card 6" })).toEqual(some(6))
  expect(await found({ createdAt: { after: "1h ago", before: "in 1m" } })).toHaveLength(15)
  expect(await found({ finishedAt: { before: "1h ago" } })).toEqual([])
  expect(await found({ state: "failed", payload: { "customer.id": [3, 4] } })).toEqual(some(3))
  expect(await found({ state: "failed", meta: { tenant: "b" } })).toEqual([])
  expect(await found({ where: priority.gt(3) })).toEqual(mails.toSorted())
  expect(await found({ where: age.gt("1h").or(state.eq("failed")) })).toEqual(some(3, 6, 9))
  expect(await found({ where: finishedAt.isNull() })).toEqual(mails.toSorted())
})

test("pages follow each other without gaps or repetitions, newest first, while jobs finish in between", async () => {
  const { app, orders, mails } = await filled()
  const first = await app.find({}, { limit: 7 })
  expect(first.jobs).toHaveLength(7)
  await app.updateAll({ queue: "mail" }, { priority: 1 })
  const second = await app.find({}, { limit: 7, cursor: first.cursor! })
  const third = await app.find({}, { limit: 7, cursor: second.cursor! })
  expect(third.cursor).toBeUndefined()
  const ids = [...first.jobs, ...second.jobs, ...third.jobs].map((job) => job.id)
  expect(ids).toEqual([...orders, ...mails].toReversed())
  const all = []
  for await (const job of app.findAll({ name: "order" })) all.push(job.id)
  expect(all).toEqual(orders.toReversed())
})

test("unique keys are found as they were given, whatever their scope", async () => {
  const { app } = await startApp({ worker: false })
  const one = await app.push(mail, "1", { uniqueKey: "k|1" })
  const two = await app.push(mail, "2", { uniqueKey: { key: "k|1", scope: "queue" } })
  const three = await app.push(mail, "3", { uniqueKey: { key: "k|1", scope: "name" } })
  await app.push(mail, "4", { uniqueKey: "other" })
  const found = await app.find({ uniqueKey: "k|1" })
  expect(found.jobs.map((job) => job.id)).toEqual([three.id, two.id, one.id])
  expect(found.jobs.map((job) => job.uniqueKey)).toEqual(["k|1", "k|1", "k|1"])
})

test("a search through payloads is refused until its index is declared, and says how to", async () => {
  const { app, orders } = await filled()
  const search = { payload: { "customer.id": 4 } }
  await expect(app.find(search)).rejects.toMatchObject({
    code: "MILLRACE_NOT_INDEXED",
    message: expect.stringContaining('app.declareIndex({ payload: "customer.id" })'),
  })
  await app.declareIndex({ payload: "customer.id" })
  await app.declareIndex({ payload: "customer.id" })
  expect(await app.indexes()).toEqual([{ field: "payload", path: ["customer", "id"] }])
  expect((await app.find(search)).jobs.map((job) => job.id)).toEqual([orders[3]])
  await expect(app.find({ where: payload("customer.id").gt(4) })).rejects.toMatchObject({
    code: "MILLRACE_NOT_INDEXED",
  })
  expect(await app.dropIndex({ payload: "customer.id" })).toBe(true)
  expect(await app.dropIndex({ payload: "customer.id" })).toBe(false)
  expect(await app.indexes()).toEqual([])
})

test("a declared index serves new history partitions as well", async () => {
  const { app, sql, addWorker } = await startApp({ worker: false })
  await app.declareIndex({ payload: "customer.id" })
  await addWorker({ handlers: [order.handler(() => {})] })
  const job = await app.push(order, orderOf(7), { retention: "9d" })
  await job.result({ timeout: "10s" })
  const [row] = await sql<{ count: number }>(
    `select count(*)::integer as count from pg_inherits where inhparent = (
       select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = '$schema' and c.relname like 'history_path_%')`,
  )
  const [parts] = await sql<{ count: number }>(
    "select count(*)::integer as count from pg_inherits where inhparent = to_regclass('$schema.jobs_history')",
  )
  expect(row!.count).toBe(parts!.count)
  expect((await app.find({ payload: { "customer.id": 7 } })).jobs.map((one) => one.id)).toEqual([job.id])
})

test.each([
  [{ stat: "failed" }, "MILLRACE_UNKNOWN_OPTION", /Did you mean "state"/],
  [{ job: "x" }, "MILLRACE_UNKNOWN_OPTION", /name/],
  [{ state: "faild" }, "MILLRACE_BAD_OPTION", /Did you mean "failed"/],
  [{ createdAt: { since: "1h ago" } }, "MILLRACE_BAD_OPTION", /after, before/],
  [{ createdAt: { after: "yesterday" } }, "MILLRACE_BAD_RULE", /ISO text/],
  [{ payload: "x" }, "MILLRACE_BAD_OPTION", /path\.to\.value/],
  [{ where: {} }, "MILLRACE_BAD_OPTION", /must be a rule/],
  [{ id: "12" }, "MILLRACE_BAD_RULE", /UUID/],
])("the filter %j is refused", async (filter, code, message) => {
  const { app } = await startApp({ worker: false })
  await expect(app.find(filter as JobFilter)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
})

test("a cursor of another filter, or none at all, is refused", async () => {
  const { app } = await filled()
  const { cursor } = await app.find({}, { limit: 2 })
  const bad = { code: "MILLRACE_BAD_CURSOR" }
  await expect(app.find({ queue: "mail" }, { cursor: cursor! })).rejects.toMatchObject(bad)
  await expect(app.find({}, { cursor: "nonsense" })).rejects.toMatchObject(bad)
})
