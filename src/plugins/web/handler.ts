import type { IncomingMessage, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import { getRequestListener } from "@hono/node-server"
import type { Millrace } from "../../client/millrace.ts"
import { makeApp } from "./app.ts"
import type { ParsedHandler } from "./options.ts"
import { makeSite, type Site } from "./site.ts"
import { upgrade } from "./websocket.ts"

/**
 * Answers requests of the dashboard and its API. A function from Request to Response, as every fetch-based framework takes
 * it; `node` for Express, Fastify and plain servers.
 */
export interface WebHandler {
  (request: Request): Promise<Response>
  /**
   * For servers on Node's http: `server.on("request", handler.node)`, `express.use("/jobs", handler.node)`. A body that a
   * framework has read already is taken from `request.body`, or given as the third argument.
   */
  node(request: IncomingMessage, response: ServerResponse, body?: unknown): Promise<void>
  /** For WebSockets: `server.on("upgrade", handler.upgrade)`. False: the address is none of ours, and nothing was done. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  /** What was made up when no `auth` was given; undefined otherwise. */
  readonly login: { readonly name: string; readonly password: string } | undefined
  /** Ends streams, and operations between two chunks. */
  close(): Promise<void>
}

export interface Handler extends WebHandler {
  readonly site: Site
}

export function makeHandler(app: Millrace, options: ParsedHandler): Handler {
  const site = makeSite(app, options)
  const answer = makeApp(site)
  const listener = getRequestListener(answer, { overrideGlobalObjects: false })
  const node = async (request: IncomingMessage, response: ServerResponse, given?: unknown): Promise<void> => {
    await listener(withBody(request, given), response)
  }
  return Object.assign((request: Request) => answer(request), {
    node,
    upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => upgrade(site, request, socket, head),
    login: site.auth.generated,
    close: () => site.close(),
    site,
  })
}

interface FrameworkRequest extends IncomingMessage {
  /** Express cuts the mount path off `url`, and keeps the whole here. */
  originalUrl?: string
  body?: unknown
  rawBody?: Buffer
}

/** What a framework has done to a request before us, undone. */
function withBody(request: FrameworkRequest, given: unknown): IncomingMessage {
  if (request.originalUrl !== undefined) request.url = request.originalUrl
  // Express 5 passes `next` as the third argument.
  const body = typeof given === "function" || given === undefined ? request.body : given
  if (body === undefined || !request.readableEnded || request.rawBody) return request
  request.rawBody = Buffer.from(typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body))
  return request
}
