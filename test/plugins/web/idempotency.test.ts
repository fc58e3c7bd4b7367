// Writes that are sent again, and edits of what has changed meanwhile.
import { defineJob } from "millrace"
import { web } from "millrace/web"
import { leadership, pruner, type Plugin } from "millrace/worker"
import pg from "pg"
import { expect, onTestFinished, test } from "vitest"
import { gate } from "../../support/app.ts"
import { startSite } from "./site.ts"

const key = (text: string) => ({ "idempotency-key": text })
const push = { name: "mail", payload: { to: "a" } }

test("a push that is sent again is the same push, with the same answer", async () => {
  const { ask, app } = await startSite()
  const first = await ask("POST", "/jobs", { body: push, headers: key("k-1") })
  const second = await ask("POST", "/jobs", { body: push, headers: key('"k-1"') }) // as a structured field writes it
  expect(first.status).toBe(201)
  expect([second.status, second.text]).toEqual([201, first.text])
  expect(first.headers.get("idempotent-replayed")).toBeNull()
  expect(second.headers.get("idempotent-replayed")).toBe("true")
  expect(second.headers.get("content-type")).toBe(first.headers.get("content-type"))
  expect((await app.find()).jobs).toHaveLength(1)
  expect((await ask("POST", "/jobs", { body: push, headers: key("k-2") })).body.id).not.toBe(first.body.id)
  expect((await ask("POST", "/jobs", { body: push })).body.id).not.toBe(first.body.id)
})

test("another body under the same key is refused, and does nothing", async () => {
  const { ask, app } = await startSite()
  await ask("POST", "/jobs", { body: push, headers: key("k") })
  const other = await ask("POST", "/jobs", { body: { ...push, payload: 2 }, headers: key("k") })
  expect([other.status, other.body.code]).toEqual([422, "MILLRACE_IDEMPOTENCY_KEY_REUSED"])
  expect(other.headers.get("content-type")).toBe("application/problem+json")
  expect((await app.find()).jobs).toHaveLength(1)
  for (const wrong of ["", " ", "x".repeat(256), "a b"]) {
    expect((await ask("POST", "/jobs", { body: push, headers: key(wrong) })).status).toBe(400)
  }
})

test("a key belongs to one visitor and one address", async () => {
  const { ask, app } = await startSite()
  const ids = new Set<string>()
  for (const as of ["admin", "operator"]) {
    ids.add((await ask("POST", "/jobs", { as, body: push, headers: key("k") })).body.id as string)
  }
  expect(ids.size).toBe(2)
  const [one, two] = [...ids] as [string, string]
  expect((await ask("POST", `/jobs/${one}/cancel`, { body: {}, headers: key("k") })).body.id).toBe(one)
  expect((await ask("POST", `/jobs/${two}/cancel`, { body: {}, headers: key("k") })).body.id).toBe(two)
  expect((await app.find({ state: "cancelled" })).jobs).toHaveLength(2)
})

test("an action that is sent again is done once: what happened since stays", async () => {
  const { ask, app } = await startSite()
  const job = await app.push(defineJob({ name: "mail" }))
  const cancel = () => ask("POST", `/jobs/${job.id}/cancel`, { body: { reason: "late" }, headers: key("k") })
  const first = await cancel()
  await job.retry()
  expect(await cancel()).toMatchObject({ status: 200, text: first.text })
  expect((await job.get())?.state).toBe("pending")
  // A refusal is an answer as well.
  const refused = () => ask("POST", `/jobs/${job.id}/snooze`, { body: {}, headers: key("k") })
  expect([(await refused()).status, (await refused()).headers.get("idempotent-replayed")]).toEqual([400, "true"])
  // It is in the audit once.
  expect((await ask("GET", `/audit?target=${job.id}`)).body.entries).toHaveLength(2)
})

test("of two at once, one acts, and the other is told to ask again", async () => {
  const [reached, goOn] = [gate(), gate()]
  let held = 0
  const { ask, app } = await startSite({
    async authorize({ permission, queue }) {
      if (permission === "jobs:push" && queue !== undefined) {
        held++
        reached.open()
        await goOn.opened
      }
      return true
    },
  })
  const send = () => ask("POST", "/jobs", { body: push, headers: key("k") })
  const first = send()
  await reached.opened
  const second = await send()
  expect([second.status, second.body.code]).toEqual([409, "MILLRACE_IDEMPOTENCY_KEY_BUSY"])
  expect(second.headers.get("retry-after")).toBe("1")
  goOn.open()
  expect((await first).status).toBe(201)
  expect((await send()).text).toBe((await first).text)
  expect([held, (await app.find()).jobs.length]).toEqual([1, 1])
})

test("however many come at once, one job is made", async () => {
  const { ask, app } = await startSite()
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => ask("POST", "/jobs", { body: push, headers: key("k") })),
  )
  for (const { status } of answers) expect([201, 409]).toContain(status)
  expect(new Set(answers.filter(({ status }) => status === 201).map(({ text }) => text)).size).toBe(1)
  expect((await app.find()).jobs).toHaveLength(1)
})

test("what never ended is not done again; what nobody could do is", async () => {
  let broken = true
  const own: Plugin = {
    name: "own",
    routes: [
      {
        method: "POST",
        path: "/act",
        permission: "own:write",
        handle: () => (broken ? new Response("later", { status: 503 }) : Response.json({ done: true })),
      },
    ],
  }
  const { ask, sql } = await startSite({}, { worker: false, app: { plugins: [own] } })
  const act = () => ask("POST", "/plugins/own/act", { body: {}, headers: key("k") })
  expect((await act()).status).toBe(503)
  broken = false
  expect((await act()).body).toEqual({ done: true })
  broken = true
  expect((await act()).body).toEqual({ done: true })
  // As if the process had gone in the middle of it.
  await sql("update $schema.web_keys set status = null, at = now() - interval '2 minutes'")
  const lost = await act()
  expect([lost.status, lost.body.code, lost.headers.get("retry-after")]).toEqual([
    409,
    "MILLRACE_IDEMPOTENCY_KEY_BUSY",
    null,
  ])
})

test("a key is free again after a day, and its answer goes with the cleanup", async () => {
  const { ask, sql, addWorker } = await startSite({}, { worker: false, app: { plugins: [web({ listen: false })] } })
  const send = () => ask("POST", "/jobs", { body: push, headers: key("k") })
  const first = await send()
  await sql("update $schema.web_keys set at = now() - interval '25 hours'")
  expect((await send()).body.id).not.toBe(first.body.id)
  expect((await send()).headers.get("idempotent-replayed")).toBe("true")
  await sql("insert into $schema.web_keys values ('x', 'y', 'z', '', 200, null, '', now() - interval '25 hours')")
  await addWorker({ plugins: [leadership({ every: "100ms" }), pruner({ every: "100ms" })] })
  const keys = () => sql("select key from $schema.web_keys")
  await expect.poll(keys, { timeout: 20_000 }).toEqual([{ key: "k" }])
})

test("the secret of a token is kept nowhere, so its answer does not come again", async () => {
  const { ask, sql } = await startSite()
  const make = () => ask("POST", "/tokens", { body: { name: "ci", scopes: ["jobs:read"] }, headers: key("k") })
  const made = await make()
  expect(made.status).toBe(201)
  const again = await make()
  expect([again.status, again.body.code]).toEqual([409, "MILLRACE_ANSWER_NOT_KEPT"])
  expect(await sql("select answer from $schema.web_keys")).toEqual([{ answer: null }])
  expect((await ask("GET", "/tokens")).body.tokens).toHaveLength(1)
})

test("of two edits of one version, one is refused, even at once", async () => {
  const { ask, app } = await startSite()
  const job = await app.push(defineJob({ name: "mail" }), { n: 0 })
  for (let round = 0; round < 5; round++) {
    const version = (await ask("GET", `/jobs/${job.id}`)).headers.get("etag")!
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        ask("PATCH", `/jobs/${job.id}`, { body: { payload: { round, n } }, headers: { "if-match": version } }),
      ),
    )
    const fine = answers.filter(({ status }) => status === 200)
    expect(fine).toHaveLength(1)
    expect(answers.filter(({ body }) => body.code === "MILLRACE_CHANGED")).toHaveLength(5)
    expect((await job.get())?.payload).toEqual(fine[0]!.body.payload)
  }
})

test("an edit by version waits for who is changing the job, and sees what came of it", async () => {
  const { ask, app, sql, url, schema } = await startSite()
  const job = await app.push(defineJob({ name: "mail" }), { n: 0 })
  const version = (await ask("GET", `/jobs/${job.id}`)).headers.get("etag")!
  const other = new pg.Client(url)
  await other.connect()
  onTestFinished(() => other.end())
  await other.query("begin")
  await other.query(`update ${schema}.jobs set rank = -9 where id = $1`, [job.id])
  const edit = ask("PATCH", `/jobs/${job.id}`, { body: { priority: 1 }, headers: { "if-match": version } })
  const waiting = () =>
    sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update'")
  await expect.poll(waiting, { timeout: 20_000 }).toHaveLength(1)
  await other.query("commit")
  expect((await edit).status).toBe(412)
  expect((await job.get())?.priority).toBe(9)
  const fresh = (await ask("GET", `/jobs/${job.id}`)).headers.get("etag")!
  const list = `W/"weak", ${fresh}`
  expect((await ask("DELETE", `/jobs/${job.id}`, { headers: { "if-match": version } })).status).toBe(412)
  expect((await ask("DELETE", `/jobs/${job.id}`, { headers: { "if-match": list } })).status).toBe(204)
})
