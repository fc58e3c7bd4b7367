import { Millrace } from "millrace"
import { afterAll, beforeAll, expect, test } from "vitest"
import { testDatabase, type TestDatabase } from "../support/database.ts"
import { until } from "../support/until.ts"
import { millrace, start } from "./program.ts"

let database: TestDatabase
let env: Record<string, string>
beforeAll(async () => {
  database = await testDatabase()
  env = { DATABASE_URL: database.url, MILLRACE_WEB_PASSWORD: "" }
  await using app = new Millrace({ dsn: database.url, logger: false })
  await app.migrate()
})
afterAll(() => database.close())

interface Told {
  readonly url: string
  readonly user: string
  readonly password: string
}

test("millrace web serves on loopback with a password that it makes up, until SIGTERM", async () => {
  const program = start(["web", "--port", "0", "--json", "--read-only", "--environment", "test"], env)
  await until("it says where it is", () => program.said().includes("}"))
  const { url, user, password } = JSON.parse(program.said()) as Told
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
  const headers = { "content-type": "application/json", origin: url.replace(/\/$/, "") }
  const body = JSON.stringify({ name: user, password })
  const login = await fetch(`${url}api/v1/login`, { method: "POST", headers, body })
  const cookie = login.headers.get("set-cookie")!.split(";")[0]!
  const meta = await fetch(`${url}api/v1/meta`, { headers: { cookie } })
  expect(await meta.json()).toMatchObject({ environment: "test", readOnly: true, visitor: { name: "admin" } })
  program.child.kill("SIGTERM")
  expect((await program.ended).code).toBe(0)
})

test("off loopback it wants a password, and one from the environment signs in", async () => {
  const refused = await millrace(["web", "--host", "0.0.0.0", "--port", "0"], env)
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/can be reached by others.*MILLRACE_AUTH_NEEDED/s)
  expect((await millrace(["web", "--port", "x"], env)).code).toBe(2)
  const own = { ...env, MILLRACE_WEB_PASSWORD: "correct horse" }
  const program = start(["web", "--port", "0", "--user", "ada", "--role", "viewer"], own)
  await until("it says where it is", () => program.said().includes("http"))
  expect(program.said()).not.toContain("password")
  const url = /http:\S+/.exec(program.said())![0]
  const headers = { "content-type": "application/json", origin: url.replace(/\/$/, "") }
  const body = JSON.stringify({ name: "ada", password: "correct horse" })
  const login = await fetch(`${url}api/v1/login`, { method: "POST", headers, body })
  expect(await login.json()).toEqual({ name: "ada", role: "viewer" })
})
