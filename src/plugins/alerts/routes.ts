import { describe } from "../../lib/error.ts"
import { failure, isMillraceError } from "../../model/errors.ts"
import type { PluginRoute } from "../../model/plugin.ts"
import type { Alerts, EventOptions, SilenceOptions } from "./contract.ts"

/** The paths below the plugin's own; what they do is what its functions do. */
export const routesOf = (alerts: () => Alerts): readonly PluginRoute[] => [
  {
    method: "GET",
    path: "/rules",
    permission: "alerts:read",
    handle: () => answered(async () => ({ rules: await alerts().rules() })),
  },
  {
    method: "GET",
    path: "/events",
    permission: "alerts:read",
    handle: (request) => answered(() => alerts().events(filterOf(request))),
  },
  {
    method: "POST",
    path: "/events/:id/acknowledge",
    permission: "alerts:write",
    handle: (request, _, { id }) => answered(async () => alerts().acknowledge(id!, await bodyOf(request))),
  },
  {
    method: "POST",
    path: "/rules/:name/silence",
    permission: "alerts:write",
    handle: (request, _, { name }) =>
      answered(async () => {
        const { until, ...rest } = (await bodyOf(request)) as { until?: unknown }
        return alerts().silence(name!, { ...rest, until: momentOf(until) } as SilenceOptions)
      }),
  },
]

function filterOf(request: Request): EventOptions {
  const { limit, ...given } = Object.fromEntries(new URL(request.url).searchParams)
  return { ...given, ...(limit !== undefined && { limit: Number(limit) }) }
}

/** JSON has no dates. */
const momentOf = (given: unknown): unknown =>
  typeof given === "string" && !given.startsWith("in ") ? new Date(given) : given

const largestBody = 10_000

async function bodyOf(request: Request): Promise<object> {
  const given = await request.text()
  if (given === "") return {}
  try {
    const body: unknown = given.length > largestBody ? undefined : JSON.parse(given)
    if (typeof body === "object" && body !== null && !Array.isArray(body)) return body
  } catch {
    // Said below.
  }
  throw failure("MILLRACE_BAD_JSON", "The body must be a JSON object of at most 10,000 characters.")
}

/** JSON, or `{ code, message }` for what was asked for wrongly; anything else is the server's failure. */
async function answered(run: () => Promise<unknown>): Promise<Response> {
  try {
    return Response.json(await run())
  } catch (error) {
    if (!isMillraceError(error)) throw error
    const { code } = error
    const status = code === "MILLRACE_UNKNOWN_ALERT" ? 404 : /_BAD_|UNKNOWN_OPTION/.test(code) ? 400 : 503
    return Response.json({ code, message: describe(error) }, { status })
  }
}
