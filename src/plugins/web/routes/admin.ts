import { uuidv7, isUuid } from "../../../lib/uuid.ts"
import { parseQuery } from "../../../model/query.ts"
import { listAudit } from "../audit.ts"
import {
  booleanField,
  durationField,
  idParam,
  intParam,
  onlyFields,
  textField,
  textParam,
  textsField,
} from "../params.ts"
import { holds } from "../permissions.ts"
import { badRequest, notFound, refuse } from "../problem.ts"
import { reply, type Call, type Route } from "../route.ts"
import { createToken, listTokens, revokeToken } from "../tokens.ts"

/** Saved views, the audit and tokens. */

interface ViewRow {
  id: string
  name: string
  query: string
  settings: unknown
  shared: boolean
  created_by: string
  created_at: Date
  updated_at: Date
}

const viewColumns = "id, name, query, settings, shared, created_by, created_at, updated_at"

const viewOf = ({ created_by, created_at, updated_at, ...row }: ViewRow) => ({
  ...row,
  createdBy: created_by,
  createdAt: created_at,
  updatedAt: updated_at,
})

async function views(call: Call) {
  await call.site.ready()
  const { db, names } = call.site.context
  const { rows } = await db.query<ViewRow>(
    `select ${viewColumns} from ${names.of("web_views")} where shared or created_by = $1 order by name, id limit 500`,
    [call.known.visitor.name],
  )
  return { views: rows.map(viewOf) }
}

interface ViewFields {
  readonly name: string | undefined
  readonly query: string | undefined
  readonly settings: string | undefined
  readonly shared: boolean | undefined
}

async function viewFields(call: Call): Promise<ViewFields> {
  const fields = await call.fields()
  onlyFields(fields, ["name", "query", "settings", "shared"])
  const query = fields.query === "" ? "" : textField(fields, "query")
  const [problem] = parseQuery(query ?? "").problems
  if (problem) throw badRequest(`query: ${problem.message}`)
  const settings = fields.settings === undefined ? undefined : JSON.stringify(fields.settings)
  if (settings !== undefined && settings.length > 16_384) throw badRequest("settings: more than 16 kB.")
  return { name: textField(fields, "name")?.slice(0, 200), query, settings, shared: booleanField(fields, "shared") }
}

async function saveView(call: Call): Promise<Response> {
  const { name, query = "", settings = "{}", shared = true } = await viewFields(call)
  if (name === undefined) throw badRequest("name: text that is not empty.")
  const { db, names } = call.site.context
  const { rows } = await db.query<ViewRow>(
    `insert into ${names.of("web_views")} (id, name, query, settings, shared, created_by)
     values ($1, $2, $3, $4::text::jsonb, $5, $6) returning ${viewColumns}`,
    [uuidv7(), name, query, settings, shared, call.known.visitor.name],
  )
  const view = viewOf(rows[0]!)
  call.note({ target: view.id, after: view })
  return reply(201, view)
}

/** A view that the visitor may see: a shared one, or its own. @throws Refused. */
async function viewFor(call: Call): Promise<ViewRow> {
  const { db, names } = call.site.context
  const { rows } = await db.query<ViewRow>(
    `select ${viewColumns} from ${names.of("web_views")} where id = $1 and (shared or created_by = $2)`,
    [idParam(call.params, "such view"), call.known.visitor.name],
  )
  if (!rows[0]) throw notFound("such view")
  return rows[0]
}

async function changeView(call: Call) {
  const before = await viewFor(call)
  const { name, query, settings, shared } = await viewFields(call)
  const { db, names } = call.site.context
  const { rows } = await db.query<ViewRow>(
    `update ${names.of("web_views")} set name = coalesce($2, name), query = coalesce($3, query),
       settings = coalesce($4::text::jsonb, settings), shared = coalesce($5, shared), updated_at = now()
     where id = $1 returning ${viewColumns}`,
    [before.id, name ?? null, query ?? null, settings ?? null, shared ?? null],
  )
  if (!rows[0]) throw notFound("such view")
  call.note({ before: viewOf(before), after: viewOf(rows[0]) })
  return viewOf(rows[0])
}

async function removeView(call: Call): Promise<Response> {
  const before = await viewFor(call)
  const { db, names } = call.site.context
  await db.query(`delete from ${names.of("web_views")} where id = $1`, [before.id])
  call.note({ before: viewOf(before) })
  return reply(204, null)
}

async function audit(call: Call) {
  const { query, site } = call
  const before = textParam(query, "cursor")
  if (before !== undefined && !isUuid(before)) throw badRequest("cursor: not one that a list returned.")
  if (call.scope)
    throw refuse(
      403,
      "MILLRACE_FORBIDDEN",
      "The audit tells of all jobs; a visitor that sees only some cannot read it.",
    )
  await site.ready()
  const limit = intParam(query, "limit", 50, 1, 200)
  const [visitor, action, target] = ["visitor", "action", "target"].map((name) => textParam(query, name))
  const entries = await listAudit(site.context.db, site.context.names, { visitor, action, target, before, limit })
  return { entries: site.redact.value(entries), cursor: entries.length < limit ? null : entries.at(-1)!.id }
}

async function tokens(call: Call) {
  await call.site.ready()
  const rows = await listTokens(call.site.context.db, call.site.context.names)
  return { tokens: rows.map(tokenView) }
}

const tokenView = (row: Awaited<ReturnType<typeof listTokens>>[number]) => ({
  id: row.id,
  name: row.name,
  scopes: row.scopes,
  queues: row.queues,
  createdBy: row.created_by,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  usedAt: row.used_at,
  revokedAt: row.revoked_at,
})

/** A token may do no more than whoever made it. */
async function makeToken(call: Call): Promise<Response> {
  const { visitor } = call.known
  const fields = await call.fields()
  onlyFields(fields, ["name", "scopes", "queues", "expiresIn"])
  const name = textField(fields, "name", true).slice(0, 200)
  const scopes = textsField(fields, "scopes", 100) ?? []
  if (scopes.length === 0) throw badRequest('scopes: at least one permission, such as "jobs:read".')
  const over = scopes.find((scope) => !holdsAll(call, scope))
  if (over !== undefined)
    throw refuse(403, "MILLRACE_FORBIDDEN", `You do not hold "${over}" yourself.`, { permission: over })
  if (visitor.rule) throw refuse(403, "MILLRACE_FORBIDDEN", "A visitor with a rule of its own cannot make tokens.")
  const asked = textsField(fields, "queues", 1_000)
  if (visitor.queues && asked?.some((queue) => !visitor.queues!.includes(queue))) {
    throw refuse(403, "MILLRACE_FORBIDDEN", "You may not see all of these queues yourself.")
  }
  const made = await createToken(call.site.context.db, call.site.context.names, {
    name,
    scopes,
    queues: asked ?? visitor.queues,
    createdBy: visitor.name,
    ttl: durationField(fields, "expiresIn"),
  })
  call.note({ target: made.token.id, after: tokenView(made.token) })
  return reply(201, { ...tokenView(made.token), secret: made.secret })
}

/** Of `jobs:*` and `*`, the visitor must hold what it stands for, also what comes later. */
function holdsAll(call: Call, scope: string): boolean {
  const { visitor } = call.known
  if (!scope.includes("*")) return holds(visitor, scope)
  if (visitor.permissions) return visitor.permissions.includes("*") || visitor.permissions.includes(scope)
  return visitor.role === "admin"
}

async function revoke(call: Call) {
  const row = await revokeToken(call.site.context.db, call.site.context.names, idParam(call.params, "such token"))
  if (!row) throw notFound("such token")
  call.note({ after: tokenView(row) })
  return tokenView(row)
}

const viewBody = {
  type: "object",
  properties: { name: { type: "string" }, query: { type: "string" }, settings: {}, shared: { type: "boolean" } },
}

export const adminRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/views",
    permission: "views:read",
    summary: "Saved views: shared ones, and one's own",
    handle: views,
  },
  {
    method: "POST",
    path: "/views",
    permission: "views:write",
    summary: "Saves a view",
    body: { ...viewBody, required: ["name"] },
    status: 201,
    handle: saveView,
  },
  {
    method: "PATCH",
    path: "/views/:id",
    permission: "views:write",
    summary: "Changes a view",
    body: viewBody,
    handle: changeView,
  },
  {
    method: "DELETE",
    path: "/views/:id",
    permission: "views:write",
    summary: "Removes a view",
    status: 204,
    handle: removeView,
  },
  {
    method: "GET",
    path: "/audit",
    permission: "audit:read",
    summary: "Who did what, newest first, with before and after",
    query: {
      visitor: "Only this one's",
      action: "Only this, as METHOD and path of the route",
      target: "Only about this id or name",
      cursor: "Where the page before ended",
      limit: "1 to 200, default 50",
    },
    handle: audit,
  },
  {
    method: "GET",
    path: "/tokens",
    permission: "tokens:read",
    summary: "API tokens, without their secrets",
    handle: tokens,
  },
  {
    method: "POST",
    path: "/tokens",
    permission: "tokens:write",
    summary: "Makes an API token; its secret is shown this once",
    secret: true,
    body: {
      type: "object",
      required: ["name", "scopes"],
      properties: {
        name: { type: "string" },
        scopes: { type: "array", items: { type: "string" } },
        queues: { type: "array", items: { type: "string" } },
        expiresIn: { type: "string", description: 'A duration such as "90d"' },
      },
    },
    status: 201,
    handle: makeToken,
  },
  { method: "DELETE", path: "/tokens/:id", permission: "tokens:write", summary: "Revokes a token", handle: revoke },
]
