import { beginAudit, endAudit } from "../audit.ts"
import { checkPassword } from "../passwords.ts"
import { onlyFields, textField } from "../params.ts"
import { refuse } from "../problem.ts"
import { reply, type Call, type Route } from "../route.ts"
import { closeSession, cookieOf, openSession, setCookie } from "../session.ts"

/** Signing in and out. Both write their own entries in the audit, since nobody is known before. */

async function login(call: Call): Promise<Response> {
  const { site } = call
  const { passwords } = site.auth
  if (!passwords)
    throw refuse(404, "MILLRACE_NO_LOGIN", "Whoever comes in here is told by the application, not by a password.")
  const fields = await call.fields()
  onlyFields(fields, ["name", "password"])
  const name = (textField(fields, "name") ?? site.auth.generated?.name ?? "").slice(0, 200)
  const password = textField(fields, "password", true).slice(0, 1_000)
  const wait = Math.ceil(site.throttle.wait(name) / 1_000)
  if (wait > 0) {
    throw refuse(
      429,
      "MILLRACE_TOO_MANY_LOGINS",
      `Too many failed logins; wait ${wait} s.`,
      { wait },
      { "retry-after": String(wait) },
    )
  }
  // Counted before the check, so that many tries at once count as many.
  site.throttle.failed(name)
  const user = await checkPassword(passwords, name, password)
  await site.ready()
  if (!user) {
    await entry(call, name, "POST /login", 401)
    throw refuse(401, "MILLRACE_WRONG_PASSWORD", "Name or password is wrong.")
  }
  site.throttle.succeeded(name)
  await entry(call, name, "POST /login", 200)
  const { db, names } = site.context
  const ttl = site.options.sessionTtl
  const cookie = await openSession(db, names, name, ttl)
  return reply(200, { name, role: user.role ?? "viewer" }, { "set-cookie": setCookie(cookie, ttl) })
}

async function logout(call: Call): Promise<Response> {
  const { site, request } = call
  const cookie = cookieOf(request)
  if (cookie !== undefined && site.auth.passwords) {
    await site.ready()
    const known = await site.auth.identify(request)
    await closeSession(site.context.db, site.context.names, cookie)
    if (known && !(known instanceof Response)) await entry(call, known.visitor.name, "POST /logout", 204)
  }
  return reply(204, null, { "set-cookie": setCookie("", 0) })
}

async function entry({ site: { context } }: Call, visitor: string, action: string, status: number): Promise<void> {
  const id = await beginAudit(context.db, context.names, { visitor, action, target: undefined })
  await endAudit(context.db, context.names, id, { status })
}

export const sessionRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/login",
    permission: "public",
    summary: "Signs in; the answer sets a cookie",
    body: {
      type: "object",
      required: ["password"],
      properties: { name: { type: "string" }, password: { type: "string" } },
    },
    handle: login,
  },
  { method: "POST", path: "/logout", permission: "public", summary: "Signs out", status: 204, handle: logout },
]
