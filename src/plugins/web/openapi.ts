import { permissions } from "./permissions.ts"
import type { Route, Schema } from "./route.ts"
import type { Site } from "./site.ts"
import { packageVersion } from "./version.ts"

/** The OpenAPI document of a table of routes, and of the routes of plugins. Made from what is served, so it cannot be wrong about it. */
export function openApiOf(routes: readonly Route[], site: Pick<Site, "plugins" | "options">) {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}")
    ;(paths[path] ??= {})[route.method.toLowerCase()] = operation(route)
  }
  for (const plugin of site.plugins()) {
    for (const { method, path, permission } of plugin.routes ?? []) {
      const full = `/plugins/${plugin.name}${path}`.replaceAll(/:(\w+)/g, "{$1}")
      const route = {
        method,
        path: `/plugins/${plugin.name}${path}`,
        permission,
        summary: `Of the plugin ${plugin.name}`,
      }
      ;(paths[full] ??= {})[method.toLowerCase()] = operation(route)
    }
  }
  const base = site.options.basePath === "/" ? "" : site.options.basePath
  return {
    openapi: "3.1.0",
    info: {
      title: "Millrace",
      version: packageVersion(),
      description: "Jobs, queues and workers of one installation.",
    },
    servers: [{ url: `${base}/api/v1` }],
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "An API token: mrt_…" },
        session: { type: "apiKey", in: "cookie", name: "__Host-millrace" },
      },
      schemas: { Problem: problem },
    },
    "x-permissions": permissions,
  }
}

const problem: Schema = {
  type: "object",
  required: ["type", "title", "status", "code", "detail"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    code: { type: "string", description: "Stable; programs may compare it" },
    detail: { type: "string", description: "What to do next" },
  },
}

type Described = Pick<Route, "path" | "summary" | "query" | "body" | "status" | "produces"> & {
  readonly method: string
  readonly permission: string
}

const headersOf = (method: string, permission: string): [string, string][] =>
  method === "POST" && permission !== "public"
    ? [["Idempotency-Key", "Sent again with the same body within 24 hours, it is done once and gets the same answer"]]
    : []

function operation({
  method,
  path,
  permission,
  summary,
  query = {},
  body,
  status = 200,
  produces = "application/json",
}: Described) {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }))
  const inQuery = Object.entries(query).map(([name, description]) => ({
    name,
    in: "query",
    description,
    schema: { type: "string" },
  }))
  const inHeaders = headersOf(method, permission).map(([name, description]) => ({
    name,
    in: "header",
    description,
    schema: { type: "string" },
  }))
  return {
    summary,
    "x-permission": permission,
    ...(permission === "public" ? { security: [] } : {}),
    parameters: [...inPath, ...inQuery, ...inHeaders],
    ...(body ? { requestBody: { content: { "application/json": { schema: body } } } } : {}),
    responses: {
      [status]: status === 204 ? { description: "Done" } : { description: "Done", content: { [produces]: {} } },
      default: {
        description: "Refused",
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  }
}
