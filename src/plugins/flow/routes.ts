import { isMillraceError, type ErrorCode } from "../../model/errors.ts"
import type { PluginContext, PluginRoute } from "../../model/plugin.ts"
import { failure } from "../../model/errors.ts"
import { cancelFlow, resumeFlow, sendSignal } from "./control.ts"
import { getFlow, listFlows, type FlowState } from "./records.ts"

/** Runs for the dashboard, below /plugins/flow. Errors are `{ code, message }`. */

type Handle = PluginRoute["handle"]

const statuses: Partial<Record<ErrorCode, number>> = {
  MILLRACE_UNKNOWN_JOB: 404,
  MILLRACE_JOB_FINISHED: 409,
  MILLRACE_JOB_RUNNING: 409,
  MILLRACE_KEY_TAKEN: 409,
  MILLRACE_PAYLOAD_TOO_LARGE: 413,
}

/** What the caller did wrong is told; anything else is the server's to report. */
const answered =
  (handle: Handle): Handle =>
  async (request, ctx, params) => {
    try {
      return await handle(request, ctx, params)
    } catch (error) {
      if (!isMillraceError(error) || !(error.code in statuses || error.code.startsWith("MILLRACE_BAD_"))) throw error
      const status = statuses[error.code as ErrorCode] ?? 400
      return Response.json({ code: error.code, message: error.message }, { status })
    }
  }

/** The JSON of a request; undefined for none. @throws MILLRACE_BAD_JSON. */
async function bodyOf(request: Request): Promise<unknown> {
  const text = await request.text()
  if (text === "") return undefined
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw failure("MILLRACE_BAD_JSON", "The request's body is not JSON.", error)
  }
}

async function field(request: Request, name: string): Promise<string | undefined> {
  const value = ((await bodyOf(request)) as Record<string, unknown> | undefined)?.[name]
  return typeof value === "string" ? value : undefined
}

async function list(request: Request, ctx: PluginContext): Promise<Response> {
  const asked = new URL(request.url).searchParams
  const text = (name: string) => asked.get(name) ?? undefined
  const limit = asked.has("limit") ? { limit: Number(asked.get("limit")) } : {}
  const state = text("state") as FlowState | undefined
  const page = { ...(state && { state }), ...pick("name", text("name")), ...pick("cursor", text("cursor")), ...limit }
  return Response.json(await listFlows(ctx, page))
}

const pick = (name: string, value: string | undefined) => (value === undefined ? {} : { [name]: value })

async function get(_: Request, ctx: PluginContext, { id }: Readonly<Record<string, string>>): Promise<Response> {
  const found = await getFlow(ctx, id!)
  if (!found) throw failure("MILLRACE_UNKNOWN_JOB", `There is no flow ${id}.`)
  return Response.json(found)
}

const read = (path: string, handle: Handle): PluginRoute => ({
  method: "GET",
  path,
  permission: "workflows:read",
  handle: answered(handle),
})
const write = (path: string, handle: Handle): PluginRoute => ({
  method: "POST",
  path,
  permission: "workflows:write",
  handle: answered(handle),
})

export const flowRoutes: readonly PluginRoute[] = [
  read("/flows", list),
  read("/flows/:id", get),
  write("/flows/:id/cancel", async (request, ctx, { id }) =>
    Response.json({ outcome: await cancelFlow(ctx, id!, await field(request, "reason")) }),
  ),
  write("/flows/:id/resume", async (request, ctx, { id }) => {
    const from = await field(request, "from")
    await resumeFlow(ctx, id!, from === undefined ? {} : { from })
    return Response.json({ resumed: true })
  }),
  write("/flows/:id/signal/:name", async (request, ctx, { id, name }) => {
    await sendSignal(ctx, id!, name!, await bodyOf(request))
    return Response.json({ sent: true })
  }),
]
