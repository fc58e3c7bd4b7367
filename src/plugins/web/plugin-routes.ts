import { matchPath } from "../../lib/path.ts"
import { forbidden } from "./problem.ts"
import type { Permission } from "./permissions.ts"
import type { Route } from "./route.ts"
import type { Site } from "./site.ts"

/** The route of another plugin that a request names, below /plugins/NAME, as a route of ours: under the same rules and audit. */
export function pluginRoute(
  site: Site,
  method: string,
  path: string,
): { readonly route: Route; readonly params: Readonly<Record<string, string>> } | undefined {
  for (const plugin of site.plugins()) {
    for (const route of plugin.routes ?? []) {
      if (route.method !== method) continue
      const params = matchPath(`/plugins/${plugin.name}${route.path}`, path)
      if (!params) continue
      const made: Route = {
        method: route.method === "PUT" ? "PATCH" : route.method,
        path: `/plugins/${plugin.name}${route.path}`,
        permission: route.permission as Permission,
        summary: `A route of the plugin ${plugin.name}`,
        async handle(call) {
          // Plugins know nothing of what narrows a visitor; without a resolver that has been asked, nothing of theirs is for it.
          if (call.scope && !site.options.authorize) throw forbidden(route.permission)
          if (route.method !== "GET") call.note({ after: site.redact.value(await copyOfBody(call.request)) })
          const response = await route.handle(call.request, site.contextFor(plugin), params)
          return withoutCache(response)
        },
      }
      return { route: made, params }
    }
  }
  return undefined
}

/** What was asked for, for the audit; the plugin reads the body itself. */
async function copyOfBody(request: Request): Promise<unknown> {
  const text = await request.clone().text()
  try {
    return text === "" ? undefined : (JSON.parse(text) as unknown)
  } catch {
    return undefined
  }
}

function withoutCache(response: Response): Response {
  const headers = new Headers(response.headers)
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store")
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}
