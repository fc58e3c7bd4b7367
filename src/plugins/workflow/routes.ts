import { isMillraceError } from "../../model/errors.ts"
import type { PluginContext, PluginRoute } from "../../model/plugin.ts"
import { isUuid } from "../../lib/uuid.ts"
import { workflowStates } from "./record.ts"
import type { WorkflowReference } from "./reference.ts"
import type { Workflows } from "./api.ts"

/* What the dashboard asks, below /plugins/workflow. */

const largestResult = 16_384

type Params = Readonly<Record<string, string>>
type Answer = (request: Request, params: Params, ctx: PluginContext) => Promise<unknown>

export function routesOf(workflows: Workflows): readonly PluginRoute[] {
  const one = (params: Params): WorkflowReference => workflows.get(params["id"]!)
  const done = { ok: true }
  return [
    get("/workflows", (request) => list(workflows, new URL(request.url).searchParams)),
    get("/workflows/:id", async (_, params) => {
      const found = await one(params).get()
      if (!found) throw new HttpError(404, "MILLRACE_UNKNOWN_WORKFLOW", `There is no workflow ${params["id"]}.`)
      return {
        ...found,
        input: bounded(found.input),
        result: bounded(found.result),
        steps: found.steps.map(boundedStep),
      }
    }),
    get("/workflows/:id/items/:step", async (request, params) => {
      const query = new URL(request.url).searchParams
      const items = await one(params).items(params["step"]!, {
        from: whole(query, "from", 0),
        limit: whole(query, "limit", 100),
      })
      return { items: items.map(boundedStep) }
    }),
    get("/workflows/:id/graph", async (_, params) => one(params).graph()),
    get("/workflows/:id/dot", async (_, params) => text(await one(params).dot(), "text/vnd.graphviz")),
    get("/workflows/:id/mermaid", async (_, params) => text(await one(params).mermaid(), "text/plain")),
    post("/workflows/:id/cancel", async (request, params) => {
      const { reason, compensate } = await body(request)
      return {
        cancelled: await one(params).cancel(optionalText(reason, "reason"), { compensate: compensate === true }),
      }
    }),
    post("/workflows/:id/pause", async (_, params) => ({ changed: await one(params).pause() })),
    post("/workflows/:id/resume", async (_, params) => ({ changed: await one(params).resume() })),
    post("/workflows/:id/retry", async (request, params) => {
      const { from, input } = await body(request)
      const steps = (from === undefined ? [] : Array.isArray(from) ? from : [from]) as string[]
      await one(params).retry({ from: steps, input })
      return done
    }),
    post("/workflows/:id/signal/:name", async (request, params) => {
      await one(params).signal(params["name"]!, await json(request))
      return done
    }),
  ]
}

async function list(workflows: Workflows, query: URLSearchParams): Promise<unknown> {
  const states = query.getAll("state").flatMap((given) => given.split(",")).filter((given) => given !== "") // prettier-ignore
  const unknown = states.find((state) => !(workflowStates as readonly string[]).includes(state))
  if (unknown !== undefined) throw new HttpError(400, "MILLRACE_BAD_OPTION", `"${unknown}" is no state of a workflow.`)
  const [name, cursor] = [query.get("name") ?? undefined, query.get("cursor") ?? undefined]
  return workflows.find({
    ...(states.length > 0 && { state: states as (typeof workflowStates)[number][] }),
    ...(name && { name }),
    ...(cursor && { cursor }),
    limit: whole(query, "limit", 50),
  })
}

function whole(query: URLSearchParams, name: string, otherwise: number): number {
  const given = query.get(name)
  if (given === null || given === "") return otherwise
  if (!/^\d{1,9}$/.test(given)) throw new HttpError(400, "MILLRACE_BAD_OPTION", `${name} must be a whole number.`)
  return Number(given)
}

class HttpError extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

const get = (path: string, answer: Answer) => route("GET", path, "workflows:read", answer)
const post = (path: string, answer: Answer) => route("POST", path, "workflows:write", answer)

function route(method: PluginRoute["method"], path: string, permission: string, answer: Answer): PluginRoute {
  return {
    method,
    path,
    permission,
    async handle(request, ctx, params) {
      try {
        if (params["id"] !== undefined && !isUuid(params["id"]))
          throw new HttpError(400, "MILLRACE_BAD_ID", "A workflow's id is a UUID.")
        const found = await answer(request, params, ctx)
        return found instanceof Response ? found : Response.json(found)
      } catch (error) {
        return problem(error)
      }
    },
  }
}

const statuses: Readonly<Record<string, number>> = {
  MILLRACE_UNKNOWN_WORKFLOW: 404,
  MILLRACE_WORKFLOW_STATE: 409,
  MILLRACE_WORKFLOW_TOO_LARGE: 409,
}
const clients = /^MILLRACE_(BAD_|UNKNOWN_OPTION|PAYLOAD_TOO_LARGE)/

/** What the visitor did wrong is said; anything else is the server's, and goes on as it is. */
function problem(error: unknown): Response {
  if (error instanceof HttpError)
    return Response.json({ code: error.code, message: error.message }, { status: error.status })
  if (!isMillraceError(error)) throw error
  const status = statuses[error.code] ?? (clients.test(error.code) ? 400 : undefined)
  if (status === undefined) throw error
  return Response.json({ code: error.code, message: error.message }, { status })
}

async function json(request: Request): Promise<unknown> {
  const given = await request.text()
  if (given === "") return undefined
  try {
    return JSON.parse(given)
  } catch {
    throw new HttpError(400, "MILLRACE_BAD_JSON", "The body must be JSON.")
  }
}

async function body(request: Request): Promise<Record<string, unknown>> {
  const given = (await json(request)) ?? {}
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as Record<string, unknown>
  throw new HttpError(400, "MILLRACE_BAD_JSON", "The body must be a JSON object.")
}

function optionalText(given: unknown, name: string): string | undefined {
  if (given === undefined || given === null || typeof given === "string") return given ?? undefined
  throw new HttpError(400, "MILLRACE_BAD_OPTION", `${name} must be text.`)
}

const text = (content: string, type: string) =>
  new Response(content, { headers: { "content-type": `${type}; charset=utf-8` } })

/** Large values are cut: a picture of a workflow needs no megabytes. */
function bounded(value: unknown): unknown {
  const written = JSON.stringify(value)
  return written === undefined || written.length <= largestResult
    ? value
    : { truncated: true, start: written.slice(0, 2_000) }
}

const boundedStep = <S extends { readonly result: unknown }>(step: S): S => ({ ...step, result: bounded(step.result) })
