import type { IncomingMessage } from "node:http"
import type { Duplex } from "node:stream"
import type { WebSocket, WebSocketServer } from "ws"
import { callFor } from "./app.ts"
import { sameSite } from "./csrf.ts"
import { isEvents, urlOf } from "./paths.ts"
import { Refused, safeJson } from "./problem.ts"
import { allowed, type Site } from "./site.ts"
import { follow, mayFollow } from "./stream.ts"
import { topicsOf } from "./topics.ts"

/*
 * The stream of events over a WebSocket, under the address of the server-sent events. Who may open one is decided before
 * the connection is upgraded: cookies travel with it from any site, so the origin must be ours. Nothing is read from it.
 */

const mostWaiting = 1_048_576

let loading: Promise<WebSocketServer | undefined> | undefined

/** `ws` is an optional peer: without it, clients are told so and use the server-sent events. */
function server(): Promise<WebSocketServer | undefined> {
  return (loading ??= import("ws").then(
    (ws) => new ws.WebSocketServer({ noServer: true, maxPayload: 4_096, clientTracking: false }),
    () => undefined,
  ))
}

/** Handles an upgrade. @returns false: it is none of ours. */
export function upgrade(site: Site, incoming: IncomingMessage, socket: Duplex, head: Buffer): boolean {
  if (!isEvents(incoming, site.options.basePath)) return false
  const request = requestOf(incoming)
  socket.on("error", () => socket.destroy())
  void admit(site, request).then(
    async (found) => {
      const ws = await server()
      if (!ws) return refuse(socket, 501, "Install the package ws for WebSockets, or use server-sent events.")
      ws.handleUpgrade(incoming, socket, head, (connection) => open(site, request, found, connection))
      return undefined
    },
    (error: unknown) => {
      const status = error instanceof Refused ? error.problem.status : 500
      refuse(socket, status, error instanceof Refused ? error.message : "Something went wrong here.")
    },
  )
  return true
}

function requestOf(incoming: IncomingMessage): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined && !name.startsWith(":")) headers.set(name, Array.isArray(value) ? value.join(", ") : value)
  }
  return new Request(urlOf(incoming)!, { headers })
}

/** @throws Refused. */
async function admit(site: Site, request: Request) {
  const known = await site.auth.identify(request)
  if (!known || known instanceof Response) throw refused(401, "Sign in first, or send an API token.")
  if (known.by !== "token" && !sameSite(request, site.options.origins))
    throw refused(403, "This comes from another site.")
  if (!(await allowed(site, { visitor: known.visitor, permission: "events:read" })))
    throw refused(403, "This needs events:read.")
  const call = callFor(site, request, {}, known)
  const topics = await topicsOf(call)
  const missing = await mayFollow(site, known, topics)
  if (missing !== undefined) throw refused(403, `This needs ${missing}.`)
  return { known, topics, last: call.query.get("lastEventId") ?? undefined }
}

const refused = (status: number, detail: string): Refused =>
  new Refused({ status, code: status === 401 ? "MILLRACE_NOT_SIGNED_IN" : "MILLRACE_FORBIDDEN", detail })

function open(site: Site, request: Request, found: Awaited<ReturnType<typeof admit>>, connection: WebSocket): void {
  const following = follow(site, request, found.known, found.topics, found.last, {
    message: ({ id, event, topic, data }) => {
      connection.send(safeJson({ id, event, topic: topic ?? null, data }))
      if (connection.bufferedAmount > mostWaiting) connection.terminate()
    },
    heartbeat: () => connection.ping(),
    end: (reason) => connection.close(1008, reason.slice(0, 120)),
  })
  connection.on("close", () => following.end())
  connection.on("error", () => connection.terminate())
}

function refuse(socket: Duplex, status: number, text: string): void {
  const body = safeJson({ status, detail: text })
  const head = [
    `HTTP/1.1 ${status} Refused`,
    "connection: close",
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`)
}
