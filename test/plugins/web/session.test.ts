import { hashPassword, passwordAuth, webHandler } from "millrace/web"
import { expect, onTestFinished, test } from "vitest"
import { startApp } from "../../support/start-app.ts"
import { asker, host, startSite } from "./site.ts"

const ada = { name: "ada", password: "correct horse" }

async function withPasswords() {
  const own = await startApp({ worker: false })
  const auth = passwordAuth({
    users: {
      ada: { password: await hashPassword(ada.password), role: "admin" },
      vera: { password: "battery staple", role: "viewer" },
    },
  })
  const handler = webHandler(own.app, { auth })
  onTestFinished(() => handler.close())
  return { ...own, handler, auth, ask: asker(handler) }
}

const cookieIn = (headers: Headers) => headers.get("set-cookie")!.split(";")[0]!

test("a login sets a cookie that scripts, other sites and plain connections do not get, and a logout ends it everywhere", async () => {
  const { ask, sql } = await withPasswords()
  expect((await ask("GET", "/meta")).body).toMatchObject({ code: "MILLRACE_NOT_SIGNED_IN", login: true, status: 401 })
  const login = await ask("POST", "/login", { body: ada })
  expect(login.headers.get("set-cookie")).toMatch(
    /^__Host-millrace=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200$/,
  )
  const cookie = cookieIn(login.headers)
  const meta = await ask("GET", "/meta", { headers: { cookie } })
  expect(meta.body.visitor).toMatchObject({ name: "ada", role: "admin", signedInBy: "session" })
  expect(meta.body.grants).toContain("tokens:write")
  expect(JSON.stringify(await sql("select * from $schema.web_sessions"))).not.toContain(cookie.split("=")[1])
  const twice = await ask("GET", "/meta", { headers: { cookie: `${cookie}; __Host-millrace=${"a".repeat(43)}` } })
  expect(twice.status).toBe(401)
  const out = await ask("POST", "/logout", { headers: { cookie } })
  expect([out.status, out.headers.get("set-cookie")]).toEqual([
    204,
    "__Host-millrace=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
  ])
  expect((await ask("GET", "/meta", { headers: { cookie } })).status).toBe(401)
  const audit = await sql("select visitor, action, status from $schema.web_audit order by id")
  expect(audit).toEqual([
    { visitor: "ada", action: "POST /login", status: 200 },
    { visitor: "ada", action: "POST /logout", status: 204 },
  ])
})

test("a session that is over, or whose user has gone, opens nothing", async () => {
  const { ask, sql, app } = await withPasswords()
  const cookie = cookieIn((await ask("POST", "/login", { body: { name: "vera", password: "battery staple" } })).headers)
  const other = webHandler(app, { auth: passwordAuth({ users: { ada: "another password" } }) })
  onTestFinished(() => other.close())
  expect((await asker(other)("GET", "/meta", { headers: { cookie } })).status).toBe(401)
  await sql("update $schema.web_sessions set expires_at = now()")
  expect((await ask("GET", "/meta", { headers: { cookie } })).status).toBe(401)
})

test("wrong passwords and wrong names are told the same, and after five there is a wait", async () => {
  const { ask } = await withPasswords()
  const wrong = await ask("POST", "/login", { body: { name: "ada", password: "wrong" } })
  const nobody = await ask("POST", "/login", { body: { name: "nobody", password: "wrong" } })
  expect([wrong.status, wrong.body]).toEqual([nobody.status, nobody.body])
  for (let time = 0; time < 4; time++)
    expect((await ask("POST", "/login", { body: { name: "ada", password: "wrong" } })).status).toBe(401)
  const slowed = await ask("POST", "/login", { body: ada })
  expect([slowed.status, slowed.body.code]).toEqual([429, "MILLRACE_TOO_MANY_LOGINS"])
  expect(Number(slowed.headers.get("retry-after"))).toBeGreaterThan(0)
  // Another person is not kept waiting.
  expect((await ask("POST", "/login", { body: { name: "vera", password: "battery staple" } })).status).toBe(200)
})

const crossSite: [string, Record<string, string>][] = [
  ["another site, by Sec-Fetch-Site", { "sec-fetch-site": "cross-site", origin: "https://evil.example" }],
  ["a sibling host", { "sec-fetch-site": "same-site", origin: "http://other.jobs.example" }],
  ["another origin that claims to be ours", { "sec-fetch-site": "same-origin", origin: "https://evil.example" }],
  ["a page without an origin", { "sec-fetch-site": "cross-site", origin: "null" }],
]

test.each(crossSite)("a write from %s is refused", async (_, headers) => {
  const { ask } = await startSite()
  const refused = await ask("POST", "/jobs", { body: { name: "x" }, headers })
  expect([refused.status, refused.body.code]).toEqual([403, "MILLRACE_CROSS_SITE"])
  expect((await ask("GET", "/jobs")).body.jobs).toEqual([])
})

test("a write without any word of where it comes from, or not as JSON, is refused", async () => {
  const { handler } = await startSite()
  const send = (headers: Record<string, string>) =>
    handler(
      new Request(`${host}/api/v1/jobs`, {
        method: "POST",
        headers: { "x-visitor": "admin", ...headers },
        body: '{"name":"x"}',
      }),
    )
  expect((await send({ "content-type": "application/json" })).status).toBe(403)
  expect((await send({ "content-type": "text/plain", "sec-fetch-site": "same-origin" })).status).toBe(415)
  expect((await send({ "content-type": "application/x-www-form-urlencoded", origin: host })).status).toBe(415)
  expect((await send({ "content-type": "application/json", origin: host })).status).toBe(201)
})

test("a public origin behind a proxy may write when it is named", async () => {
  const { ask } = await startSite({ origins: ["https://public.example"] })
  const headers = { origin: "https://public.example", "sec-fetch-site": "same-origin" }
  expect((await ask("POST", "/jobs", { body: { name: "x" }, headers })).status).toBe(201)
})

test("a token does what its scopes say until it is revoked or over, its secret is shown once, and it is no browser's", async () => {
  const { ask, sql } = await startSite()
  const made = await ask("POST", "/tokens", {
    body: { name: "ci", scopes: ["jobs:read", "jobs:push"], queues: ["ci-*"], expiresIn: "1d" },
  })
  expect(made.status).toBe(201)
  const { secret, id } = made.body
  expect((await ask("GET", "/tokens")).text).not.toContain(secret)
  expect(JSON.stringify(await sql("select * from $schema.web_tokens"))).not.toContain(secret)
  expect(JSON.stringify(await sql("select * from $schema.web_audit"))).not.toContain(secret)
  const headers = { authorization: `Bearer ${secret}`, "sec-fetch-site": "cross-site", origin: "https://ci.example" }
  const push = (queue: string) => ask("POST", "/jobs", { as: "", body: { name: "x", options: { queue } }, headers })
  expect((await push("ci-1")).status).toBe(201)
  expect((await push("mail")).status).toBe(403)
  expect((await ask("GET", "/queues", { as: "", headers })).status).toBe(403)
  expect(
    (await ask("GET", "/jobs?access_token=x", { as: "", headers: { authorization: "Bearer mrt_wrong" } })).status,
  ).toBe(401)
  expect((await ask("GET", `/jobs?token=${secret}`, { as: "" })).status).toBe(401)
  expect((await sql("select used_at from $schema.web_tokens"))[0]).not.toEqual({ used_at: null })
  expect((await ask("DELETE", `/tokens/${id}`)).body.revokedAt).not.toBeNull()
  expect((await push("ci-1")).status).toBe(401)
  const second = await ask("POST", "/tokens", { body: { name: "brief", scopes: ["jobs:read"], expiresIn: "1d" } })
  const brief = { authorization: `Bearer ${second.body.secret}` }
  expect((await ask("GET", "/jobs", { as: "", headers: brief })).status).toBe(200)
  await sql("update $schema.web_tokens set expires_at = now() where name = 'brief'")
  expect((await ask("GET", "/jobs", { as: "", headers: brief })).status).toBe(401)
})

test("nobody makes a token that may do more than its maker", async () => {
  const { ask } = await startSite({
    known: {
      maker: { name: "mia", permissions: ["tokens:write", "jobs:read"] },
      part: { name: "paul", permissions: ["tokens:write", "jobs:read"], queues: ["mail"] },
    },
  })
  const make = (as: string, body: object) => ask("POST", "/tokens", { as, body: { name: "t", ...body } })
  expect((await make("maker", { scopes: ["jobs:delete"] })).status).toBe(403)
  expect((await make("maker", { scopes: ["jobs:*"] })).status).toBe(403)
  expect((await make("maker", { scopes: ["*"] })).status).toBe(403)
  expect((await make("maker", { scopes: ["jobs:read"] })).status).toBe(201)
  expect((await make("part", { scopes: ["jobs:read"], queues: ["other"] })).status).toBe(403)
  expect((await make("part", { scopes: ["jobs:read"] })).body.queues).toEqual(["mail"])
})
