import { matchPath } from "../../lib/path.ts"
import { parsedBody } from "./body.ts"
import { forbidden } from "./problem.ts"
import type { Permission } from "./permissions.ts"
import type { Call, Route } from "./route.ts"
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
          const request = route.method === "GET" ? call.request : await readWhole(call)
          return withoutCache(await route.handle(request, site.contextFor(plugin), params))
        },
      }
      return { route: made, params }
    }
  }
  return undefined
}

/** A write with its body, counted while it was read; what it says stands in the audit. */
async function readWhole({ request, site, note, text: read }: Call): Promise<Request> {
  const text = await read()
  note({ after: site.redact.value(parsedBody(text)) })
  const { url, method, headers } = request
  return new Request(url, { method, headers, ...(text === "" ? {} : { body: text }) })
}

function withoutCache(response: Response): Response {
  const headers = new Headers(response.headers)
  if (!headers.has("cache-control")) headers.set("cache-control", "no-store")
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}
