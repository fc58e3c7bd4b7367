// Who sees which rows, and what of them.
import { defineJob, meta } from "millrace"
import { expect, test } from "vitest"
import { startSite, visitors } from "./site.ts"

const job = defineJob<unknown>({ name: "job", queue: "mail" })

const known = {
  ...visitors,
  mail: { name: "mia", role: "operator", queues: ["mail*"] },
  acme: { name: "ann", role: "operator", rule: meta("tenant").eq("acme") },
} as const

test("a visitor of some queues sees and touches no other", async () => {
  const { app, ask } = await startSite({ known })
  await app.declareQueue("mail")
  await app.declareQueue("billing")
  const mine = await app.push(job, 1)
  const other = await app.push(job, 2, { queue: "billing" })
  const as = "mail"
  expect((await ask("GET", "/jobs", { as })).body.jobs.map(({ id }: { id: string }) => id)).toEqual([mine.id])
  expect((await ask("GET", `/jobs/${other.id}`, { as })).status).toBe(404)
  for (const [method, path] of [
    ["DELETE", `/jobs/${other.id}`],
    ["POST", `/jobs/${other.id}/cancel`],
    ["GET", `/jobs/${other.id}/logs`],
    ["POST", "/queues/billing/pause"],
    ["GET", "/queues/billing"],
  ] as const) {
    expect([path, (await ask(method, path, { as })).status]).toEqual([path, 404])
  }
  expect((await ask("POST", "/jobs", { as, body: { name: "job", options: { queue: "billing" } } })).status).toBe(403)
  const move = { action: "move", ids: [mine.id], queue: "billing" }
  expect((await ask("POST", "/operations", { as, body: move })).status).toBe(403)
  const all = { action: "delete", ids: [mine.id, other.id], dryRun: true }
  expect((await ask("POST", "/operations", { as, body: all })).body.total).toEqual({ value: 1, capped: false })
  const { queues } = (await ask("GET", "/overview", { as })).body
  expect(queues.map(({ name }: { name: string }) => name)).toEqual(["mail"])
  expect((await ask("GET", "/jobs/facets", { as })).body.total.value).toBe(1)
})

test("a tenant sees its own rows, and no counts of others", async () => {
  const { app, ask } = await startSite({ known })
  await app.declareQueue("mail")
  const mine = await app.push(job, 1, { meta: { tenant: "acme" } })
  const other = await app.push(job, 2, { meta: { tenant: "other" }, tags: ["secret-tag"] })
  const as = "acme"
  expect((await ask("GET", "/jobs", { as })).body.jobs.map(({ id }: { id: string }) => id)).toEqual([mine.id])
  expect((await ask("GET", `/jobs?q=id:${other.id}`, { as })).body.jobs).toEqual([])
  expect((await ask("GET", `/jobs/${other.id}`, { as })).status).toBe(404)
  expect((await ask("GET", "/jobs/suggest?field=tag", { as })).body.values).toEqual([])
  const overview = await ask("GET", "/overview", { as })
  expect(overview.body.states).toBeNull()
  expect(overview.body.queues[0].counts).toEqual({})
  expect((await ask("POST", "/operations", { as, body: { action: "delete", q: "" } })).body.total.value).toBe(1)
  expect(await other.get()).toBeDefined()
  expect((await ask("POST", "/tokens", { as: "acme", body: { name: "x", scopes: ["jobs:read"] } })).status).toBe(403)
})

test("the resolver has the last word on each action, queue and job", async () => {
  const asked: string[] = []
  const { app, ask } = await startSite({
    authorize: ({ permission, job: about }) => {
      asked.push(permission)
      return !(permission === "jobs:delete" && about?.payload === 2)
    },
  })
  const [one, two] = await app.pushMany(job, [1, 2])
  expect((await ask("DELETE", `/jobs/${two!.id}`)).status).toBe(403)
  expect((await ask("DELETE", `/jobs/${one!.id}`)).status).toBe(204)
  expect(asked).toContain("jobs:delete")
  const three = await app.push(job, 3)
  const started = await ask("POST", "/operations", { body: { action: "delete", ids: [two!.id, three.id] } })
  await expect.poll(async () => (await ask("GET", `/operations/${started.body.id}`)).body.state).toBe("done")
  expect((await ask("GET", `/operations/${started.body.id}`)).body).toMatchObject({ changed: 1, refused: 1 })
  expect(await two!.get()).toBeDefined()
})

const secrets = {
  user: { id: 1, password: "hunter22", nested: [{ api_key: "key-123456" }] },
  card: { number: "4111111111111111", name: "Ada" },
}

test("what is redacted leaves the server nowhere, cannot be searched by, and survives an edit", async () => {
  const { app, ask } = await startSite({ redact: ["password", "apiKey", "payload.card.number"] })
  const pushed = await app.push(job, secrets, { delay: "1h", meta: { password: "in-meta-1" } })
  const path = `/jobs/${pushed.id}`
  const shown = await ask("GET", path)
  expect(shown.body.payload).toEqual({
    user: { id: 1, password: "[redacted]", nested: [{ api_key: "[redacted]" }] },
    card: { number: "[redacted]", name: "Ada" },
  })
  const texts = [
    shown,
    await ask("GET", "/jobs"),
    await ask("GET", `${path}/attempts`),
    await ask("GET", "/jobs/suggest?field=payload"),
  ]
  for (const { text } of texts) expect(text).not.toMatch(/hunter22|key-123456|4111|in-meta-1/)
  for (const q of [
    "payload.user.password:hunter22",
    "payload.card.number:41*",
    "meta.password:in-meta-1",
    "payload.user.PASSWORD>a",
  ]) {
    expect([q, (await ask("GET", `/jobs?q=${encodeURIComponent(q)}`)).body.code]).toEqual([q, "MILLRACE_REDACTED"])
  }
  await ask("PATCH", path, { body: { payload: { ...shown.body.payload, more: true } } })
  expect((await pushed.get())?.payload).toEqual({ ...secrets, more: true })
  expect((await ask("GET", "/audit")).text).not.toMatch(/hunter22|key-123456|4111/)
})

const nasty = `</script><script>alert(1)</script>\u2028<img src=x onerror=alert(1)>&`

test("text that HTML would run is told without a character that HTML reads", async () => {
  const { app, ask } = await startSite()
  const pushed = await app.push(job, { [nasty]: nasty, __proto__: { polluted: true } }, { tags: ["<b>"], delay: "1h" })
  const answers = [
    await ask("GET", `/jobs/${pushed.id}`),
    await ask("GET", "/jobs"),
    await ask("GET", `/jobs?q=${encodeURIComponent("<b>:1")}`),
    await ask("GET", `/jobs?q=${encodeURIComponent('name:"<script>"')}`),
    await ask("GET", "/<script>"),
  ]
  for (const { text, headers } of answers) {
    expect(text).not.toMatch(/[<>&\u2028]/)
    expect(headers.get("content-type")).toMatch(/^application\/(?:problem\+)?json/)
    expect(headers.get("x-content-type-options")).toBe("nosniff")
    expect(headers.get("content-security-policy")).toMatch(/default-src 'none'; script-src 'self'; style-src 'self'/)
  }
  expect(answers[0]!.body.payload[nasty]).toBe(nasty)
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})

test("a body that is too large, no JSON, or has unknown fields is refused", async () => {
  const { ask, handler, app } = await startSite({}, { worker: false, app: { maxPayload: 1_000 } })
  expect((await ask("POST", "/jobs", { body: { name: "x", nmae: 1 } })).status).toBe(400)
  expect((await ask("POST", "/jobs", { body: { name: "x", payload: "a".repeat(2_000) } })).status).toBe(413)
  expect((await ask("POST", "/jobs", { body: { name: "x", payload: "a".repeat(300_000) } })).body.code).toBe(
    "MILLRACE_BODY_TOO_LARGE",
  )
  const request = new Request("http://jobs.example/api/v1/jobs", {
    method: "POST",
    headers: { "x-visitor": "admin", "content-type": "application/json", "sec-fetch-site": "same-origin" },
    body: "{",
  })
  expect((await handler(request)).status).toBe(400)
  expect((await app.find()).jobs).toEqual([])
})
