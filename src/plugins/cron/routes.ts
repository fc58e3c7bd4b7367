import { isMillraceError } from "../../lib/error.ts"
import { failure } from "../../model/errors.ts"
import type { PluginRoute } from "../../model/plugin.ts"
import type { Cron } from "./contract.ts"
import { unknownSchedule } from "./schedule.ts"

/** What the dashboard asks. Errors are { code, message }: 404 for a key that is not there, 400 for what was refused. */

type Answer = (params: Readonly<Record<string, string>>, request: Request) => Promise<unknown>

export function routes(cron: () => Cron): readonly PluginRoute[] {
  const [read, write] = ["schedules:read", "schedules:write"]
  const route = (method: PluginRoute["method"], path: string, permission: string, answer: Answer): PluginRoute => ({
    method,
    path,
    permission,
    handle: (request, _ctx, params) => answered(() => answer(params, request)),
  })
  return [
    route("GET", "/schedules", read, async () => ({ schedules: await cron().list() })),
    route("GET", "/schedules/:key", read, ({ key }) => get(cron(), key!)),
    route("PUT", "/schedules/:key", write, async ({ key }, request) => put(cron(), key!, await bodyOf(request))),
    route("DELETE", "/schedules/:key", write, async ({ key }) => {
      if ((await cron().unschedule(key!)).length === 0) throw unknownSchedule(key!)
      return { removed: key }
    }),
    route("POST", "/schedules/:key/run", write, async ({ key }) => ({ job: await cron().runNow(key!) })),
    route("POST", "/schedules/:key/pause", write, ({ key }) => cron().pause(key!)),
    route("POST", "/schedules/:key/resume", write, ({ key }) => cron().resume(key!)),
    route("GET", "/schedules/:key/ticks", read, async ({ key }, request) => ({
      ticks: await cron().ticks(key!, pageOf(request)),
    })),
    route("POST", "/preview", read, async (_, request) => cron().preview(await bodyOf(request))),
  ]
}

async function get(cron: Cron, key: string): Promise<unknown> {
  const found = await cron.get(key)
  if (!found) throw unknownSchedule(key)
  return found
}

/** Makes or changes one: `{ job, payload, cron | every, zone, … }`. What is left out has its default. */
async function put(cron: Cron, key: string, body: Readonly<Record<string, unknown>>): Promise<unknown> {
  const { job, payload, ...options } = body
  if (typeof job !== "string")
    throw failure("MILLRACE_BAD_OPTION", 'PUT: name the job to push, as in { "job": "report", "cron": "0 9 * * *" }.')
  return cron.scheduleByName(job, payload, { ...options, key })
}

function pageOf(request: Request): { limit?: number; before?: string } {
  const { searchParams } = new URL(request.url)
  const [limit, before] = [searchParams.get("limit"), searchParams.get("before")]
  return { ...(limit === null ? {} : { limit: Number(limit) }), ...(before === null ? {} : { before }) }
}

async function bodyOf(request: Request): Promise<Readonly<Record<string, unknown>>> {
  const body: unknown = await request.json().catch(() => undefined)
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>
  throw failure("MILLRACE_BAD_JSON", "The body must be a JSON object.")
}

async function answered(answer: () => Promise<unknown>): Promise<Response> {
  try {
    return Response.json(await answer())
  } catch (error) {
    if (!isMillraceError(error)) throw error
    const { code, message } = error
    const status = code === "MILLRACE_UNKNOWN_SCHEDULE" ? 404 : refusals.has(code) ? 400 : 503
    return Response.json({ code, message }, { status })
  }
}

const refusals: ReadonlySet<string> = new Set([
  "MILLRACE_BAD_SCHEDULE",
  "MILLRACE_BAD_OPTION",
  "MILLRACE_BAD_DURATION",
  "MILLRACE_BAD_JSON",
  "MILLRACE_BAD_NAME",
  "MILLRACE_PAYLOAD_TOO_LARGE",
  "MILLRACE_UNKNOWN_OPTION",
])
