import { defineJob } from "millrace"
import { expect, test } from "vitest"
import { until } from "../../support/app.ts"
import { startSite } from "./site.ts"

const mail = defineJob<{ to: string; user?: { id: number } }>({ name: "SendMail", queue: "mail", maxAttempts: 1 })

test("a list shows the newest first, page by page, and a cursor belongs to its search", async () => {
  const { app, ask } = await startSite()
  const pushed = await app.pushMany(mail, [{ to: "a" }, { to: "b" }, { to: "c" }])
  const first = await ask("GET", "/jobs?q=name:Send*&limit=2")
  expect(first.status).toBe(200)
  expect(first.body.jobs.map((job: { id: string }) => job.id)).toEqual([pushed[2]!.id, pushed[1]!.id])
  const second = await ask("GET", `/jobs?q=name:Send*&limit=2&cursor=${first.body.cursor}`)
  expect(second.body.jobs.map((job: { id: string }) => job.id)).toEqual([pushed[0]!.id])
  expect(second.body.cursor).toBeNull()
  const other = await ask("GET", `/jobs?q=queue:mail&cursor=${first.body.cursor}`)
  expect([other.status, other.headers.get("content-type")]).toEqual([400, "application/problem+json"])
})

test("a list begins with the oldest where that is asked for, in both tables, whatever serves it", async () => {
  const { app, ask } = await startSite()
  const pushed = await app.pushMany(
    mail,
    Array.from({ length: 7 }, (_, n) => ({ to: `${n}`, user: { id: n % 2 } })),
  )
  for (const one of [pushed[1]!, pushed[4]!]) await one.cancel()
  const ids = pushed.map(({ id }) => id)
  const through = async (q: string, sort: string) => {
    const found: string[] = []
    let cursor = ""
    do {
      const { body } = await ask("GET", `/jobs?q=${q}&sort=${sort}&limit=2&cursor=${cursor}`)
      found.push(...body.jobs.map((job: { id: string }) => job.id))
      cursor = body.cursor ?? ""
    } while (cursor !== "")
    return found
  }
  expect(await through("", "created")).toEqual(ids)
  expect(await through("", "-created")).toEqual(ids.toReversed())
  expect(await through("name:SendMail", "created")).toEqual(ids)
  // No index serves this: it is looked at job by job.
  expect(await through("payload.user.id:0", "created")).toEqual([0, 2, 4, 6].map((n) => ids[n]))
  expect(await through("payload.user.id:0", "-created")).toEqual([6, 4, 2, 0].map((n) => ids[n]))
  const { body } = await ask("GET", "/jobs?sort=created&limit=2")
  expect((await ask("GET", `/jobs?limit=2&cursor=${body.cursor}`)).status).toBe(400)
  expect((await ask("GET", "/jobs?sort=priority")).body.code).toBe("MILLRACE_BAD_REQUEST")
})

test("a job is pushed, shown, changed, snoozed, run, cancelled, retried, cloned and deleted, and all of it is in the audit", async () => {
  const { ask } = await startSite()
  const pushed = await ask("POST", "/jobs", {
    body: { name: "SendMail", payload: { to: "a" }, options: { queue: "mail", runAt: "in 1h" } },
  })
  expect(pushed.status).toBe(201)
  const path = `/jobs/${pushed.body.id}`
  const seen = await ask("GET", path)
  expect(seen.body).toMatchObject({
    name: "SendMail",
    queue: "mail",
    state: "scheduled",
    payload: { to: "a" },
    attempts: 0,
  })
  const changed = await ask("PATCH", path, {
    body: { priority: 7, payload: { to: "b" } },
    headers: { "if-match": seen.headers.get("etag")! },
  })
  expect(changed.body).toMatchObject({ priority: 7, payload: { to: "b" } })
  const stale = await ask("PATCH", path, { body: { priority: 8 }, headers: { "if-match": seen.headers.get("etag")! } })
  expect([stale.status, stale.body.code]).toEqual([412, "MILLRACE_CHANGED"])
  expect((await ask("POST", `${path}/snooze`, { body: { for: "2h" } })).body.state).toBe("scheduled")
  expect((await ask("POST", `${path}/run-now`)).body.state).toBe("pending")
  expect((await ask("POST", `${path}/cancel`, { body: { reason: "not needed" } })).body).toMatchObject({
    state: "cancelled",
  })
  expect((await ask("POST", `${path}/cancel`)).body.code).toBe("MILLRACE_JOB_FINISHED")
  expect((await ask("POST", `${path}/retry`)).body.state).toBe("pending")
  const clone = await ask("POST", `${path}/clone`, { body: { payload: { to: "c" } } })
  expect((await ask("GET", `/jobs/${clone.body.id}`)).body).toMatchObject({
    queue: "mail",
    priority: 7,
    payload: { to: "c" },
  })
  expect((await ask("DELETE", path)).status).toBe(204)
  expect((await ask("GET", path)).status).toBe(404)
  const { entries } = (await ask("GET", `/audit?target=${pushed.body.id}`)).body
  expect(entries.map((entry: { action: string; status: number }) => [entry.action, entry.status]).reverse()).toEqual(
    [
      ["POST /jobs", 201],
      ["PATCH /jobs/:id", 200],
      ["PATCH /jobs/:id", 412],
      ["POST /jobs/:id/snooze", 200],
      ["POST /jobs/:id/run-now", 200],
      ["POST /jobs/:id/cancel", 200],
      ["POST /jobs/:id/cancel", 409],
      ["POST /jobs/:id/retry", 200],
      ["POST /jobs/:id/clone", 201],
      ["DELETE /jobs/:id", 204],
    ].filter(([action]) => action !== "POST /jobs/:id/clone"),
  )
  const patch = entries.find(
    (entry: { action: string; status: number }) => entry.action.startsWith("PATCH") && entry.status === 200,
  )
  expect([patch.visitor, patch.before.priority, patch.after.priority]).toEqual(["ada", 0, 7])
})

test("attempts, logs and errors of a failed job are there, and it is found by a value in its payload", async () => {
  const { app, ask } = await startSite(
    {},
    {
      handlers: [
        mail.handler(async ({ to }, job) => {
          job.log(`to ${to}`)
          throw new Error(`ECONNRESET at ${to}`)
        }),
      ],
    },
  )
  const job = await app.push(mail, { to: "x", user: { id: 42 } })
  await until(async () => (await job.get())?.state === "failed", "failed")
  const found = await ask("GET", "/jobs?q=state:failed payload.user.id:42 error:ECONNRESET")
  expect(found.body.jobs).toMatchObject([{ id: job.id, error: { message: "ECONNRESET at x" } }])
  expect(found.body.terms.map((term: { cost: string }) => term.cost)).toEqual(["indexed", "indexed", "filtered"])
  expect((await ask("GET", `/jobs/${job.id}/attempts`)).body.attempts).toMatchObject([
    { attempt: 1, outcome: "failed" },
  ])
  expect((await ask("GET", `/jobs/${job.id}/logs`)).body.lines).toMatchObject([{ message: "to x", attempt: 1 }])
  expect((await ask("GET", `/jobs/${job.id}/explain`)).status).toBe(200)
  const facets = await ask("GET", "/jobs/facets?q=name:SendMail")
  expect(facets.body).toMatchObject({
    total: { value: 1, capped: false },
    state: { failed: { value: 1, capped: false } },
  })
  expect((await ask("GET", "/jobs/suggest?field=payload&prefix=payload.u")).body.values).toEqual([
    { value: "payload.user.id", text: "payload.user.id" },
  ])
})

test("a search that no index serves looks at so many, says so, and goes on by its cursor", async () => {
  const { app, ask } = await startSite()
  await app.push(mail, { to: "x", user: { id: 42 } })
  const found = await ask("GET", "/jobs?q=payload.user.id:42")
  expect(found.body.jobs).toHaveLength(1)
  expect(found.body.bounded).toMatchObject({ looked: 10_000 })
  expect(found.body.terms[0].cost).toBe("scanned")
  await app.declareIndex({ payload: "user.id" })
})

test("a query that cannot be read is refused with the word in question", async () => {
  const { ask } = await startSite()
  const refused = await ask("GET", "/jobs?q=state:faild")
  expect(refused.status).toBe(400)
  expect(refused.body.problems).toMatchObject([{ text: "state:faild", start: 0, end: 11 }])
})

test("queues, workers and the overview tell what is there", async () => {
  const { app, ask, worker } = await startSite({}, { queues: [{ name: "mail", concurrency: 2 }] })
  await app.declareQueue({ name: "unserved", tags: ["no=body"] })
  await app.pushMany(defineJob<null>({ name: "n", queue: "unserved" }), [null, null])
  const { queues } = (await ask("GET", "/queues")).body
  expect(queues.find((queue: { name: string }) => queue.name === "unserved")).toMatchObject({
    served: false,
    waiting: { value: 2, capped: false },
    paused: false,
  })
  const paused = await ask("POST", "/queues/mail/pause", { body: { until: "in 10m" } })
  expect(paused.body).toMatchObject({ paused: true })
  expect(paused.body.resumeAt).not.toBeNull()
  expect((await ask("POST", "/queues/mail/resume")).body).toMatchObject({ paused: false, resumeAt: null })
  expect((await ask("PATCH", "/queues/mail", { body: { concurrency: 9, timeout: "30s" } })).body).toMatchObject({
    concurrency: 9,
    timeout: 30_000,
  })
  expect((await ask("PATCH", "/queues/mail", { body: { concurrency: null } })).body).toMatchObject({
    concurrency: null,
    timeout: 30_000,
  })
  expect((await ask("GET", "/queues/none")).status).toBe(404)
  expect((await ask("GET", `/workers/${worker.id}`)).body).toMatchObject({ id: worker.id, alive: true })
  const { problems, workers } = (await ask("GET", "/overview")).body
  expect(workers.alive).toBe(1)
  expect(problems).toMatchObject([{ kind: "unserved", queue: "unserved" }])
})

test("many jobs are acted on by a search, on the server, and brought back", async () => {
  const { app, ask } = await startSite()
  const jobs = await app.pushMany(
    mail,
    Array.from({ length: 250 }, (_, n) => ({ to: `${n}` })),
  )
  await app.pushMany(defineJob<null>({ name: "other", queue: "mail" }), [null])
  const body = { action: "delete", q: "name:SendMail" }
  expect((await ask("POST", "/operations", { body: { ...body, dryRun: true } })).body).toEqual({
    dryRun: true,
    action: "delete",
    total: { value: 250, capped: false },
    undoable: true,
  })
  expect((await ask("POST", "/operations", { body: { ...body, expected: 10 } })).body.code).toBe("MILLRACE_UNEXPECTED")
  const done = async (id: string) =>
    until(async () => {
      const { body: operation } = await ask("GET", `/operations/${id}`)
      return operation.state === "running" ? undefined : operation
    }, "done")
  const started = await ask("POST", "/operations", { body: { ...body, expected: 250 } })
  expect(started.status).toBe(202)
  expect(await done(started.body.id)).toMatchObject({ state: "done", changed: 250, refused: 0, undoable: 250 })
  expect(await jobs[0]!.get()).toBeUndefined()
  const undone = await ask("POST", `/operations/${started.body.id}/undo`)
  expect(await done(undone.body.id)).toMatchObject({ state: "done", changed: 250, refused: 0 })
  expect(await jobs[0]!.get()).toMatchObject({ state: "pending", payload: { to: "0" } })
  expect((await ask("POST", `/operations/${started.body.id}/undo`)).body.code).toBe("MILLRACE_NO_UNDO")
  const moved = await ask("POST", "/operations", { body: { action: "move", queue: "slow", q: "name:SendMail" } })
  expect(await done(moved.body.id)).toMatchObject({ changed: 250 })
  expect(await jobs[9]!.get()).toMatchObject({ queue: "slow" })
  await done((await ask("POST", `/operations/${moved.body.id}/undo`)).body.id)
  expect(await jobs[9]!.get()).toMatchObject({ queue: "mail" })
  const cancelled = await ask("POST", "/operations", { body: { action: "cancel", ids: [jobs[1]!.id, jobs[2]!.id] } })
  expect(await done(cancelled.body.id)).toMatchObject({ changed: 2 })
  expect(await done((await ask("POST", `/operations/${cancelled.body.id}/undo`)).body.id)).toMatchObject({
    changed: 2,
    refused: 0,
  })
  expect(await jobs[1]!.get()).toMatchObject({ state: "pending" })
})
