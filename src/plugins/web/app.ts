import { Hono } from "hono"
import { describe } from "../../lib/error.ts"
import { matchPath } from "../../lib/path.ts"
import { beginAudit, endAudit } from "./audit.ts"
import type { Known } from "./auth.ts"
import { bodyText, parsedBody } from "./body.ts"
import { crossSite } from "./csrf.ts"
import { keyOf, once } from "./idempotency.ts"
import { apiBase, pathBelow } from "./paths.ts"
import { pluginRoute } from "./plugin-routes.ts"
import { badRequest, notFound, problemOf, problemResponse, refuse } from "./problem.ts"
import { reply, type Call, type Note, type Route } from "./route.ts"
import { routes } from "./routes/index.ts"
import { requireAllowed, scopeOf, type Site } from "./site.ts"
import { secured } from "./headers.ts"
import { makePages } from "./static.ts"

/*
 * Requests on their way in: who is it, may they, is it no other site's doing; then the route; and, for writes, the audit
 * around it. One way for all routes, so that none can forget a step.
 */

/** Answers every request below the place that it is mounted at. */
export function makeApp(site: Site): (request: Request) => Promise<Response> {
  const { basePath } = site.options
  const hono = new Hono({ getPath: (request) => pathBelow(request.url, basePath) })
  for (const route of routes) {
    hono.on(route.method, apiBase + route.path, (c) => answer(site, route, c.req.raw, c.req.param()))
  }
  hono.all(`${apiBase}/plugins/*`, (c) => {
    const found = pluginRoute(site, c.req.method, c.req.path.slice(apiBase.length))
    return found ? answer(site, found.route, c.req.raw, found.params) : unknown(c.req.method, c.req.path)
  })
  hono.all("/api/*", (c) => unknown(c.req.method, c.req.path))
  const pages = makePages(site.options)
  hono.get("*", (c) => pages(c.req.raw, c.req.path))
  hono.notFound((c) => unknown(c.req.method, c.req.path))
  return async (request) => secured(await hono.fetch(request))
}

/** What is not in the table. Of an address that is, the methods that are possible are named. */
function unknown(method: string, path: string): Response {
  const methods = routes.filter((route) => matchPath(apiBase + route.path, path)).map((route) => route.method)
  if (methods.length === 0) return problemResponse(notFound("such route").problem)
  const text = `${method} is not possible here, only ${methods.join(", ")}.`
  return problemResponse(refuse(405, "MILLRACE_BAD_METHOD", text, undefined, { allow: methods.join(", ") }).problem)
}

/** Runs one route. Never throws. */
async function answer(
  site: Site,
  route: Route,
  request: Request,
  params: Readonly<Record<string, string>>,
): Promise<Response> {
  try {
    const found = await identified(site, route, request)
    if (found instanceof Response) return found
    const refused = crossSite(request, site.options.origins, found.by === "token")
    if (refused) throw refused
    if (route.permission !== "public" && route.permission !== "visitor") {
      await requireAllowed(site, { visitor: found.visitor, permission: route.permission })
    }
    const { call, notes } = makeCall(site, request, params, found)
    if (!isWrite(route)) return await run(route, call)
    const key = keyOf(route, call)
    if (key === undefined) return await audited(site, route, call, notes)
    return await once(route, call, key, () =>
      audited(site, route, call, notes).catch((error: unknown) => failed(site, request, error)),
    )
  } catch (error) {
    return failed(site, request, error)
  }
}

const anybody: Known = { visitor: { name: "anybody", permissions: [] }, by: "application" }

async function identified(site: Site, route: Route, request: Request): Promise<Known | Response> {
  if (route.permission === "public") return anybody
  const found = await site.auth.identify(request)
  if (found instanceof Response || found) return found
  throw refuse(401, "MILLRACE_NOT_SIGNED_IN", "Sign in, or send an API token: authorization: Bearer mrt_….", {
    login: site.auth.passwords !== undefined,
  })
}

/** Logins write their own entry, since nobody is known before them. */
const isWrite = ({ method, permission }: Route): boolean => method !== "GET" && permission !== "public"

async function run(route: Route, call: Call): Promise<Response> {
  const result = await route.handle(call)
  return result instanceof Response ? result : reply(route.status ?? 200, result ?? null)
}

async function audited(site: Site, route: Route, call: Call, notes: Note[]): Promise<Response> {
  await site.ready()
  const { db, names } = site.context
  const { params, known } = call
  const target = params.id ?? params.name
  const action = `${route.method} ${route.path}`
  const id = await beginAudit(db, names, { visitor: known.visitor.name, action, target })
  const note = (): Note => Object.assign({}, ...notes) as Note
  try {
    const response = await run(route, call)
    await endAudit(db, names, id, { ...note(), status: response.status })
    return response
  } catch (error) {
    const status = problemOf(error)?.status ?? 500
    await endAudit(db, names, id, { ...note(), status }).catch(() => {})
    throw error
  }
}

function makeCall(
  site: Site,
  request: Request,
  params: Readonly<Record<string, string>>,
  known: Known,
): { readonly call: Call; readonly notes: Note[] } {
  const notes: Note[] = []
  let text: Promise<string> | undefined
  let body: Promise<unknown> | undefined
  const { visitor } = known
  const call: Call = {
    site,
    request,
    params,
    query: new URL(request.url).searchParams,
    known,
    scope: scopeOf(visitor),
    text: () => (text ??= bodyText(request, site.context.maxPayload)),
    body: () => (body ??= call.text().then(parsedBody)),
    async fields() {
      const given = (await call.body()) ?? {}
      if (typeof given === "object" && !Array.isArray(given)) return given as Record<string, unknown>
      throw badRequest("The body must be a JSON object.")
    },
    note: (note) => void notes.push(note),
    require: (permission, about) => requireAllowed(site, { visitor, permission, ...about }),
  }
  return { call, notes }
}

/** A request on no route of the table, for what is no answer to a request. */
export const callFor = (site: Site, request: Request, params: Call["params"], known: Known): Call =>
  makeCall(site, request, params, known).call

function failed(site: Site, request: Request, error: unknown): Response {
  const problem = problemOf(error)
  if (problem) return problemResponse(problem)
  const { pathname } = new URL(request.url)
  site.context.log.error("web: a request failed", { method: request.method, path: pathname, error: describe(error) })
  return problemResponse({
    status: 500,
    code: "MILLRACE_INTERNAL",
    detail: "Something went wrong here; the log says what.",
  })
}
