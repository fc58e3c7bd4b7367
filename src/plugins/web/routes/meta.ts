import { describe } from "../../../lib/error.ts"
import { overview } from "../overview.ts"
import { grantsOf, permissions } from "../permissions.ts"
import { reply, type Call, type Route } from "../route.ts"
import { packageVersion } from "../version.ts"

async function meta(call: Call) {
  const { site, known } = call
  const { visitor, by } = known
  const withRoutes = site.plugins().filter((plugin) => (plugin.routes?.length ?? 0) > 0)
  const ofPlugins = withRoutes.flatMap((plugin) => plugin.routes!.map((route) => route.permission))
  const all = new Set([...Object.keys(permissions), ...ofPlugins])
  const held = grantsOf(visitor, all)
  const explains = "explain" in site.app
  return {
    name: "millrace",
    version: packageVersion(),
    schema: { name: site.context.names.plain, ...(await site.app.schemaVersion()) },
    environment: site.options.environment ?? null,
    basePath: site.options.basePath,
    readOnly: site.options.readOnly,
    capabilities: [...withRoutes.map((plugin) => plugin.name), ...(explains ? ["explain"] : [])],
    plugins: site.plugins().map((plugin) => plugin.name),
    visitor: {
      name: visitor.name,
      role: visitor.permissions ? null : (visitor.role ?? "viewer"),
      signedInBy: by,
      queues: visitor.queues ?? null,
      limited: call.scope !== undefined,
    },
    grants: site.options.readOnly ? held.filter((permission) => permission.endsWith(":read")) : held,
    login: site.auth.passwords !== undefined,
    // There is no token to carry around: browsers say where a request comes from, and writes are JSON.
    writes: { contentType: "application/json" },
    now: new Date(),
  }
}

/** The process answers. Nothing else is asked, so that a slow database does not get it killed. */
const healthy = () => ({ ok: true })

async function ready({ site }: Call): Promise<Response> {
  try {
    const { current, needed } = await site.app.schemaVersion()
    if (current >= needed) return reply(200, { ok: true })
    return reply(503, { ok: false, reason: "the schema is older than this release" })
  } catch (error) {
    site.context.log.warn("web: not ready", { error: describe(error) })
    return reply(503, { ok: false, reason: "the database does not answer" })
  }
}

export const metaRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/meta",
    permission: "visitor",
    summary: "Version, capabilities, and what the visitor may do",
    handle: meta,
  },
  { method: "GET", path: "/healthz", permission: "public", summary: "Whether the process answers", handle: healthy },
  {
    method: "GET",
    path: "/readyz",
    permission: "public",
    summary: "Whether the database answers and is migrated",
    handle: ready,
  },
  {
    method: "GET",
    path: "/overview",
    permission: "overview:read",
    summary: "Figures, queues, workers, and what is wrong",
    handle: ({ site, known }) => overview(site, known.visitor),
  },
]
