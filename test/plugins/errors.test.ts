import * as Sentry from "@sentry/node"
import { defineJob, retry, snooze } from "millrace"
import { errorGroups, pruner, sentry, type ErrorGroups } from "millrace/worker"
import { expect, test } from "vitest"
import { startApp, until } from "../support/start-app.ts"

interface Task {
  readonly do: "type" | "order" | "directive" | "snooze" | "nothing" | "schema"
  readonly n?: number
}

const work = defineJob<Task>({ name: "work", maxAttempts: 1, backoff: { initial: 0 } })
const other = defineJob<Task>({ name: "other", maxAttempts: 1 })
const run = ({ do: what, n = 0 }: Task) => {
  if (what === "type") throw new TypeError(`no ${n} here`)
  if (what === "order") throw Object.assign(new Error(`order ${n} is late`), { code: "LATE" })
  if (what === "directive") return retry("asked for")
  return what === "snooze" ? snooze("1h") : undefined
}
const handlers = [work.handler(run), other.handler(run)]

async function withErrors(options: Parameters<typeof errorGroups>[0] = {}) {
  const started = await startApp({ worker: false, app: { plugins: [errorGroups(options)] } })
  return { ...started, errors: started.app.plugin<ErrorGroups>("errors") }
}

test("failures are counted by what failed, not by whom it failed for", async () => {
  const { app, addWorker, errors, sql } = await withErrors({ samples: 2 })
  await addWorker({ handlers })
  const late = await app.pushMany(work, [1, 2, 3].map((n) => ({ do: "order", n }) as const)) // prettier-ignore
  await app.declareQueue("side")
  await app.wait([...late, await app.push(other, { do: "order", n: 4 }, { queue: "side" })], { timeout: "10s" })
  await app.wait([await app.push(work, { do: "type", n: 5 })], { timeout: "10s" })
  const { groups, cursor } = await errors.list()
  expect(cursor).toBeUndefined()
  expect(groups).toMatchObject([
    { state: "open", name: "TypeError", code: undefined, pattern: "no <n> here", message: "no 5 here", count: 1 },
    { state: "open", name: "Error", code: "LATE", pattern: "order <n> is late", count: 4 },
  ])
  const details = await errors.get(groups[1]!.fingerprint)
  expect(details.jobs).toMatchObject([
    { name: "work", queue: "default", count: 3 },
    { name: "other", queue: "side", count: 1 },
  ])
  expect(details.samples).toHaveLength(2)
  expect(details.stack).toContain("is late")
  expect(details.hours.reduce((sum, { count }) => sum + count, 0)).toBe(4)
  expect(details.frames[0]).toMatch(/^run \(plugins\/errors\.test\.[jt]s\)$/)
  // The database's clock, and none other.
  const [times] = await sql("select max(finished_at) >= $1 as seen from $schema.jobs_history", [details.firstSeen])
  expect(times).toEqual({ seen: true })
})

test("each attempt counts, also one that its handler gave up; what succeeds or waits does not", async () => {
  const { app, addWorker, errors } = await withErrors()
  await addWorker({ handlers })
  const twice = await app.push(work, { do: "order" }, { maxAttempts: 2 })
  const directive = await app.push(work, { do: "directive" })
  await app.wait([twice, directive, await app.push(work, { do: "nothing" })], { timeout: "10s" })
  await app.wait([await app.push(work, { do: "snooze" })], { states: ["scheduled"], timeout: "10s" })
  const counted = (await errors.list()).groups.map(({ message, count }) => `${message} ${count}`)
  expect(new Set(counted)).toEqual(new Set(["asked for 1", "order 0 is late 2"]))
})

test("a result that its schema refuses is an error like any other", async () => {
  const { z } = await import("zod")
  const strict = defineJob({ name: "strict", payload: z.string(), result: z.number(), maxAttempts: 1 })
  const { app, addWorker, errors } = await withErrors()
  await addWorker({ handlers: [strict.handler(() => "no number" as never)] })
  await app.wait([await app.push(strict, "x")], { timeout: "10s" })
  expect((await errors.list()).groups).toMatchObject([{ code: "MILLRACE_BAD_RESULT", count: 1 }])
})

test("a resolved error opens again when it occurs again, an ignored one does not, and the hub is told of news", async () => {
  const { app, addWorker, errors } = await withErrors()
  const heard: string[] = []
  for (const name of ["error.new", "error.reopened"])
    app.hub.on(name, ({ body }) => heard.push(`${name} ${(body as { message: string }).message}`))
  await addWorker({ handlers })
  const fail = async (n: number) => app.wait([await app.push(work, { do: "order", n })], { timeout: "10s" })
  await fail(1)
  await fail(2)
  const { fingerprint } = (await errors.list()).groups[0]!
  expect(await errors.resolve(fingerprint)).toMatchObject({ state: "resolved", resolvedAt: expect.any(Date) })
  await fail(3)
  expect(await errors.get(fingerprint)).toMatchObject({ state: "open", count: 3, reopenedAt: expect.any(Date) })
  await errors.ignore(fingerprint)
  await fail(4)
  expect(await errors.get(fingerprint)).toMatchObject({ state: "ignored", count: 4 })
  expect(await errors.reopen(fingerprint)).toMatchObject({ state: "open" })
  await until(() => heard.length === 2)
  expect(heard).toEqual(["error.new order 1 is late", "error.reopened order 3 is late"])
  await expect(errors.resolve("0000000000000000")).rejects.toMatchObject({ code: "MILLRACE_UNKNOWN_ERROR" })
})

test("two workers that record the same errors at once lose no count and never block each other", async () => {
  const { app, addWorker, errors } = await withErrors()
  const tasks = Array.from({ length: 400 }, (_, n) => ({ do: n % 2 === 0 ? ("order" as const) : ("type" as const), n }))
  const jobs = await app.pushMany(work, tasks)
  await Promise.all([addWorker({ handlers }), addWorker({ handlers })])
  await app.wait(jobs, { timeout: "20s" })
  const { groups } = await errors.list()
  expect(groups.map(({ count }) => count)).toEqual([200, 200])
})

test("what cannot be counted keeps no job from ending", async () => {
  const { app, addWorker, errors, sql, log } = await withErrors()
  await addWorker({ handlers })
  await sql("alter table $schema.error_groups rename column frames to hidden")
  const jobs = await app.pushMany(work, [{ do: "order" }, { do: "type" }])
  const ended = await app.wait(jobs, { timeout: "10s" })
  expect(ended.map(({ state }) => state)).toEqual(["failed", "failed"])
  expect(log.lines.some(({ message }) => message.startsWith("errors could not be counted"))).toBe(true)
  await sql("alter table $schema.error_groups rename column hidden to frames")
  await app.wait([await app.push(work, { do: "order" })], { timeout: "10s" })
  expect((await errors.list()).groups).toMatchObject([{ count: 1 }])
})

test("a job that failed with its workers is counted once, whoever takes it back", async () => {
  const { app, addWorker, errors, sql } = await withErrors()
  const job = await app.push(work, { do: "nothing" }, { queue: "lost" })
  // As a worker leaves it that dies with its third claim.
  const incarnation = "00000000-0000-4000-8000-000000000001"
  await sql(
    `insert into $schema.workers (incarnation, id, hostname, pid, tags, expires_at)
     values ($1, 'dead', 'h', 1, '{}', now() - interval '1 minute')`,
    [incarnation],
  )
  await sql(
    `update $schema.jobs set state = 'running', token = $1::uuid, worker = $1::uuid, crashes = 2, claims = 3, started_at = now()
     where id = $2`,
    [incarnation, job.id],
  )
  await addWorker({ handlers })
  await addWorker({ handlers })
  await until(async () => (await errors.list()).groups.length === 1)
  expect((await errors.list()).groups).toMatchObject([{ code: "MILLRACE_CRASHED", count: 1 }])
})

test("the list can be narrowed and paged, and old ones are forgotten", async () => {
  const { app, addWorker, errors, sql } = await withErrors()
  const worker = await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "order" })], { timeout: "10s" })
  await app.wait([await app.push(other, { do: "type" })], { timeout: "10s" })
  await app.wait([await app.push(other, { do: "directive" })], { timeout: "10s" })
  const names = async (filter: Parameters<typeof errors.list>[0]) =>
    (await errors.list(filter)).groups.map(({ pattern }) => pattern)
  expect(await names({ name: "other" })).toEqual(["asked for", "no <n> here"])
  expect(await names({ name: "work", queue: "default" })).toEqual(["order <n> is late"])
  expect(await names({ queue: "elsewhere" })).toEqual([])
  expect(await names({ state: "resolved" })).toEqual([])
  const first = await errors.list({ limit: 2 })
  expect(first.groups).toHaveLength(2)
  expect(await names({ limit: 2, cursor: first.cursor! })).toEqual(["order <n> is late"])
  await expect(errors.list({ cursor: "nonsense" })).rejects.toMatchObject({ code: "MILLRACE_BAD_CURSOR" })

  await sql("update $schema.error_group_hours set hour = hour - interval '31 days'")
  await sql("update $schema.error_groups set last_seen = last_seen - interval '91 days' where pattern = 'asked for'")
  await addWorker({ handlers, plugins: [pruner({ every: "100ms" })] })
  await worker.stop()
  await until(async () => (await errors.list()).groups.length === 2)
  expect(await sql("select * from $schema.error_group_hours")).toEqual([])
  expect(await names({})).toEqual(["no <n> here", "order <n> is late"])
})

test("routes speak JSON, and say what is wrong with a request", async () => {
  const { app, addWorker } = await withErrors()
  const worker = await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "order", n: 7 })], { timeout: "10s" })
  const ask = async (path: string, method = "GET") => {
    const response = (await worker.route(new Request(`http://localhost/plugins/errors${path}`, { method })))!
    return [response.status, (await response.json()) as Record<string, unknown>] as const
  }
  const [, { groups }] = await ask("/groups?state=open&limit=1")
  expect(groups).toMatchObject([{ message: "order 7 is late", lastSeen: expect.any(String) }])
  const { fingerprint } = (groups as { fingerprint: string }[])[0]!
  expect(await ask(`/groups/${fingerprint}`)).toMatchObject([200, { samples: [{ attempt: 1 }], hours: [{ count: 1 }] }])
  expect(await ask(`/groups/${fingerprint}/resolve`, "POST")).toMatchObject([200, { state: "resolved" }])
  expect(await ask(`/groups/${fingerprint}/ignore`, "POST")).toMatchObject([200, { state: "ignored" }])
  expect(await ask(`/groups/${fingerprint}/reopen`, "POST")).toMatchObject([200, { state: "open" }])
  expect(await ask("/groups/none")).toMatchObject([404, { code: "MILLRACE_UNKNOWN_ERROR" }])
  expect(await ask("/groups?state=closed")).toMatchObject([400, { code: "MILLRACE_BAD_OPTION" }])
  expect(await ask("/groups?limit=many")).toMatchObject([400, { code: "MILLRACE_BAD_OPTION" }])
  expect(await ask("/groups?colour=red")).toMatchObject([400, { code: "MILLRACE_UNKNOWN_OPTION" }])
  const permissions = worker.plugin("errors").routes!.map(({ method, permission }) => `${method} ${permission}`)
  expect([...new Set(permissions)]).toEqual(["GET errors:read", "POST errors:write"])
})

test("Sentry's events carry the fingerprint of their group", async () => {
  const sent: Sentry.Event[] = []
  Sentry.init({
    dsn: "http://key@127.0.0.1/1",
    defaultIntegrations: false,
    beforeSend: (event) => {
      sent.push(event)
      return null
    },
  })
  const plugins = [errorGroups(), sentry({ sentry: Sentry, grouping: "millrace" })]
  const { app, addWorker } = await startApp({ worker: false, app: { plugins } })
  await addWorker({ handlers })
  await app.wait([await app.push(work, { do: "order" })], { timeout: "10s" })
  await until(() => sent.length === 1)
  const [group] = (await app.plugin<ErrorGroups>("errors").list()).groups
  expect(sent[0]).toMatchObject({
    tags: { "millrace.error": group!.fingerprint },
    fingerprint: [group!.fingerprint],
  })
})
