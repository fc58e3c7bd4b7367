// Every route × every kind of visitor, from the OpenAPI document: what is served is in it, so none is left out.
import type { Plugin } from "millrace/worker"
import { expect, test } from "vitest"
import { startSite } from "./site.ts"

const reads = [
  "overview:read",
  "jobs:read",
  "operations:read",
  "queues:read",
  "workers:read",
  "events:read",
  "views:read",
  "marks:read",
  "other:read",
]
const writes = [
  "jobs:push",
  "jobs:edit",
  "jobs:run",
  "jobs:retry",
  "jobs:cancel",
  "jobs:delete",
  "queues:pause",
  "queues:edit",
  "views:write",
  "marks:write",
  "other:write",
]
const forAdmins = ["audit:read", "tokens:read", "tokens:write"]

const mayHave: Readonly<Record<string, readonly string[]>> = {
  admin: [...reads, ...writes, ...forAdmins],
  operator: [...reads, ...writes],
  viewer: reads,
  nothing: [],
}

const other: Plugin = {
  name: "other",
  routes: [
    {
      method: "GET",
      path: "/things/:id",
      permission: "other:read",
      handle: (_, ctx, { id }) => Response.json({ id, plugin: ctx.name }),
    },
    {
      method: "POST",
      path: "/things",
      permission: "other:write",
      handle: async (request) => Response.json(await request.json(), { status: 201 }),
    },
  ],
}

interface Operation {
  readonly "x-permission": string
}

test("no route lets in anybody who does not hold its permission, and each lets in who does", async () => {
  const { ask } = await startSite({}, { worker: false, app: { plugins: [other] } })
  const { paths } = (await ask("GET", "/openapi.json")).body as { paths: Record<string, Record<string, Operation>> }
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { "x-permission": permission }]) => ({
      method: method.toUpperCase(),
      path: path.replaceAll(/\{\w+\}/g, "0198c0de-0000-7000-8000-000000000000"),
      permission,
    })),
  )
  expect(routes.length).toBeGreaterThan(40)
  const wrong: string[] = []
  for (const { method, path, permission } of routes) {
    for (const as of ["admin", "operator", "viewer", "nothing", "stranger"]) {
      if (path === "/events") continue // has a test of its own
      const { status } = await ask(method, path, { as, body: method === "GET" ? undefined : {} })
      const open = permission === "public"
      const known = as !== "stranger"
      const held = permission === "visitor" ? known : (mayHave[as]?.includes(permission) ?? false)
      const expected = open || held ? "in" : known ? 403 : 401
      const fits = expected === "in" ? status !== 403 && (open || status !== 401) : status === expected
      if (!fits) wrong.push(`${method} ${path} (${permission}) as ${as}: ${status}`)
    }
  }
  expect(wrong).toEqual([])
})

test("what is in no table does not exist, and a method that a path does not have is named", async () => {
  const { ask } = await startSite()
  expect((await ask("GET", "/nothing")).body).toMatchObject({ status: 404, code: "MILLRACE_NOT_FOUND" })
  const refused = await ask("DELETE", "/overview")
  expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET"])
  expect((await ask("GET", "/plugins/none/x")).status).toBe(404)
  expect((await ask("GET", "/healthz")).body).toEqual({ ok: true })
  expect((await ask("GET", "/readyz", { as: "" })).body).toEqual({ ok: true })
  expect((await ask("GET", "/jobs/healthz", { as: "" })).status).toBe(401)
})

test("an action on many jobs needs the permission of the action", async () => {
  const { ask } = await startSite()
  for (const action of ["retry", "run-now", "cancel", "delete"]) {
    const body = { action, q: "" }
    expect((await ask("POST", "/operations", { as: "viewer", body })).status).toBe(403)
    expect((await ask("POST", "/operations", { as: "operator", body: { ...body, dryRun: true } })).status).toBe(200)
  }
})

test("read-only holds for everybody", async () => {
  const { ask, app } = await startSite({ readOnly: true }, { worker: false, app: { plugins: [other] } })
  await app.declareQueue("mail")
  expect((await ask("POST", "/jobs", { body: { name: "x" } })).status).toBe(403)
  expect((await ask("POST", "/queues/mail/pause")).status).toBe(403)
  expect((await ask("POST", "/operations", { body: { action: "delete", q: "" } })).status).toBe(403)
  expect((await ask("POST", "/plugins/other/things", { body: {} })).status).toBe(403)
  expect((await ask("GET", "/jobs")).status).toBe(200)
  expect((await ask("GET", "/meta")).body.grants).not.toContain("jobs:push")
})

test("routes of plugins are served under their own permission, with the context of their app, and audited", async () => {
  const { ask } = await startSite({}, { worker: false, app: { plugins: [other] } })
  expect((await ask("GET", "/plugins/other/things/7", { as: "viewer" })).body).toEqual({ id: "7", plugin: "other" })
  expect((await ask("POST", "/plugins/other/things", { as: "viewer", body: {} })).status).toBe(403)
  const made = await ask("POST", "/plugins/other/things", { body: { a: 1, password: "hunter22" } })
  expect([made.status, made.body]).toEqual([201, { a: 1, password: "hunter22" }])
  const { entries } = (await ask("GET", "/audit")).body
  expect(entries).toMatchObject([
    { action: "POST /plugins/other/things", after: { a: 1, password: "[redacted]" }, status: 201 },
  ])
  expect((await ask("GET", "/meta")).body.capabilities).toContain("other")
})
