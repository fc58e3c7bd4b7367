// Operations on many jobs, where more than the jobs' own rows must go along: logs, and keys with rows of their own.
import { defineJob, discard } from "millrace"
import { expect, test } from "vitest"
import { until } from "../../support/app.ts"
import { startSite, type Ask } from "./site.ts"

const talker = defineJob<{ n: number }>({ name: "talker", queue: "talk" })
const mail = defineJob<{ n: number }>({ name: "mail", queue: "mail" })

/** Starts an operation, or an undo, and waits for its end. */
async function operate(ask: Ask, path: string, body?: unknown) {
  const started = await ask("POST", path, { body })
  expect(started.status).toBe(202)
  return until(async () => {
    const { body: operation } = await ask("GET", `/operations/${started.body.id}`)
    return operation.state === "running" ? undefined : operation
  }, "the operation ends")
}

test("deleted jobs come back with their logs", async () => {
  const { app, ask, sql } = await startSite(
    {},
    {
      handlers: [
        talker.handler(({ n }, job) => {
          for (let line = 0; line < 1_500; line++) job.log(`line ${line}`, { n })
          return n === 1 ? discard("enough") : undefined
        }),
      ],
    },
  )
  const jobs = await app.pushMany(talker, [{ n: 0 }, { n: 1 }])
  const silent = await app.push(defineJob({ name: "silent", queue: "unserved" }))
  await app.wait(jobs)
  const all = () => Promise.all([...jobs, silent].map((job) => job.logs({ limit: 5_000 })))
  const before = await all()
  expect(before.map((lines) => lines.length)).toEqual([1_500, 1_500, 0])
  const ids = [...jobs, silent].map(({ id }) => id)
  const deleted = await operate(ask, "/operations", { action: "delete", ids })
  expect(deleted).toMatchObject({ changed: 3, undoable: 3 })
  expect(await sql("select from $schema.job_log_chunks")).toEqual([])
  expect(await operate(ask, `/operations/${deleted.id}/undo`)).toMatchObject({ changed: 3, refused: 0 })
  expect(await all()).toEqual(before)
})

test("a deleted job comes back with its key, unless somebody has taken it", async () => {
  const { app, ask, sql } = await startSite()
  const uniqueKey = (key: string) => ({ uniqueKey: { key, while: "waiting" } }) as const
  const one = await app.push(mail, { n: 1 }, uniqueKey("one"))
  const two = await app.push(mail, { n: 2 }, uniqueKey("two"))
  const deleted = await operate(ask, "/operations", { action: "delete", ids: [one.id, two.id] })
  const other = await app.push(mail, { n: 3 }, uniqueKey("two"))
  expect(other.duplicate).toBe(false)
  const undone = await operate(ask, `/operations/${deleted.id}/undo`)
  expect(undone).toMatchObject({ changed: 1, refused: 1, refusals: [{ id: two.id }] })
  expect(await app.push(mail, { n: 4 }, uniqueKey("one"))).toMatchObject({ id: one.id, duplicate: true })
  expect(await app.push(mail, { n: 5 }, uniqueKey("two"))).toMatchObject({ id: other.id, duplicate: true })
  expect(await sql("select job from $schema.unique_keys order by key")).toEqual([{ job: one.id }, { job: other.id }])
})

test("keys of a queue go along when jobs move, whatever they last for", async () => {
  const { app, ask, sql } = await startSite()
  const kinds = [{}, { while: "waiting" }, { period: "1h" }] as const
  const keys = kinds.map((kind, n) => ({ key: `k|${n}`, scope: "queue", ...kind }) as const)
  const push = (queue: string, key: (typeof keys)[number]) => app.push(mail, { n: 0 }, { queue, uniqueKey: key })
  const jobs = []
  for (const key of keys) jobs.push(await push("mail", key))
  const ids = jobs.map(({ id }) => id)
  const moved = await operate(ask, "/operations", { action: "move", queue: "slow", ids })
  expect(moved).toMatchObject({ changed: 3, refused: 0 })
  for (const [n, key] of keys.entries()) {
    expect(await push("slow", key)).toMatchObject({ id: ids[n], duplicate: true, queue: "slow" })
  }
  // The key is free where the job came from. Then it cannot go back.
  for (const key of keys) expect(await push("mail", key)).toMatchObject({ duplicate: false })
  expect(await operate(ask, `/operations/${moved.id}/undo`)).toMatchObject({ changed: 0, refused: 3 })
  expect((await app.find({ id: ids, queue: "slow" })).jobs).toHaveLength(3)
  expect(await sql("select key from $schema.unique_keys order by 1")).toEqual(
    ["f|q|mail|k|2", "f|q|slow|k|2", "w|q|mail|k|1", "w|q|slow|k|1"].map((key) => ({ key })),
  )
})

test("of jobs that move, only those stay whose key is taken, or that would have one key", async () => {
  const { app, ask, sql } = await startSite()
  const key = (name: string) => ({ key: name, scope: "queue", while: "waiting" }) as const
  const push = (queue: string, name: string) => app.push(mail, { n: 0 }, { queue, uniqueKey: key(name) })
  const taken = await push("slow", "a")
  const [a, b, again] = [await push("mail", "a"), await push("mail", "b"), await push("post", "b")]
  const plain = await app.push(mail, { n: 1 })
  const anywhere = await app.push(mail, { n: 1 }, { uniqueKey: { key: "g", while: "waiting" } })
  const ids = [a, b, again, plain, anywhere].map(({ id }) => id)
  const moved = await operate(ask, "/operations", { action: "move", queue: "slow", ids })
  expect(moved).toMatchObject({ changed: 3, refused: 2 })
  const there = (await app.find({ queue: "slow" })).jobs.map(({ id }) => id).sort()
  const firstB = there.includes(b.id) ? b : again
  expect(there).toEqual([taken.id, firstB.id, plain.id, anywhere.id].sort())
  expect(await push("mail", "a")).toMatchObject({ id: a.id, duplicate: true })
  expect(await push("slow", "b")).toMatchObject({ id: firstB.id, duplicate: true })
  expect(await app.push(mail, { n: 2 }, { uniqueKey: { key: "g", while: "waiting" } })).toMatchObject({
    id: anywhere.id,
    queue: "slow",
  })
  expect(await sql("select count(*)::integer as rows from $schema.unique_keys")).toEqual([{ rows: 5 }])
})

test("a start frees the key of the queue that the job has moved to", async () => {
  const { app, ask, sql, addWorker } = await startSite()
  const uniqueKey = { key: "a", scope: "queue", while: "waiting" } as const
  const job = await app.push(mail, { n: 0 }, { uniqueKey })
  await operate(ask, "/operations", { action: "move", queue: "slow", ids: [job.id] })
  await app.declareQueue({ name: "slow" })
  await addWorker({ handlers: [mail.handler(() => {})] })
  await app.wait([job])
  expect(await sql("select from $schema.unique_keys")).toEqual([])
  expect((await app.push(mail, { n: 1 }, { queue: "slow", uniqueKey })).duplicate).toBe(false)
})
