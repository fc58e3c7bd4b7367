// Requests as Next's app router makes them for a route handler: https://nextjs.org/docs/app/api-reference/file-conventions/route.
// Next itself is 130 MB and no dependency of these tests; what it does to a request is written down here, and nothing else of it.
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import { Readable } from "node:stream"
import type { ReadableStream } from "node:stream/web"

/** What a `route.ts` exports. Next takes these names alone, and answers 405 for a method that is not among them. */
export interface RouteModule {
  readonly dynamic?: "force-dynamic"
  readonly GET?: RouteHandler
  readonly POST?: RouteHandler
  readonly PUT?: RouteHandler
  readonly PATCH?: RouteHandler
  readonly DELETE?: RouteHandler
}

/** Next passes both; the second holds what the brackets of the folder matched. */
type RouteHandler = (
  request: NextRequest,
  context: { params: Promise<{ path?: string[] }> },
) => Response | Promise<Response>

/** `url` is whole; `nextUrl` has lost the `basePath` of next.config. */
class NextRequest extends Request {
  readonly nextUrl: URL & { readonly basePath: string }
  constructor(url: string, init: RequestInit, basePath: string) {
    super(url, init)
    const own = new URL(url)
    own.pathname = own.pathname.slice(basePath.length) || "/"
    this.nextUrl = Object.assign(own, { basePath })
  }
}

/** Handlers are given a proxy, by which Next sees what they read: native methods must not be called on it but by it. */
function watched(request: NextRequest): NextRequest {
  return new Proxy(request, {
    get(target, property) {
      const found: unknown = Reflect.get(target, property, target)
      return typeof found === "function" ? (found as () => unknown).bind(target) : found
    },
  })
}

/** @param mount the folder of `[[...path]]/route.ts`; @param basePath of next.config. */
export function nextServer(module: RouteModule, mount: string, basePath = ""): RequestListener {
  return (incoming, outgoing) => void answer(module, `${basePath}${mount}`, basePath, incoming, outgoing)
}

async function answer(
  module: RouteModule,
  mount: string,
  basePath: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { method = "GET", url = "/" } = incoming
  const pathname = url.split("?")[0]!
  const handler = module[method as "GET"]
  if (pathname !== mount && !pathname.startsWith(`${mount}/`)) return void outgoing.writeHead(404).end()
  if (!handler) return void outgoing.writeHead(405).end()
  const gone = new AbortController()
  outgoing.on("close", () => gone.abort())
  // The host is what `next start` listens on, whatever the client called it.
  const init = { method, headers: headersOf(incoming), signal: gone.signal }
  const body =
    method === "GET" ? {} : { body: Readable.toWeb(incoming) as ReadableStream<Uint8Array>, duplex: "half" as const }
  const request = new NextRequest(`http://localhost:3000${url}`, { ...init, ...body }, basePath)
  const rest = pathname.slice(mount.length + 1)
  const params = Promise.resolve(rest === "" ? {} : { path: rest.split("/").map(decodeURIComponent) })
  const response = await handler(watched(request), { params })
  if (!(response instanceof Response)) throw new Error("No response is returned from route handler")
  outgoing.writeHead(response.status, [...response.headers].flat())
  if (!response.body) return void outgoing.end()
  const answered = Readable.fromWeb(response.body as ReadableStream<Uint8Array>)
  answered.on("error", () => outgoing.destroy())
  outgoing.on("close", () => answered.destroy())
  answered.pipe(outgoing)
}

const headersOf = ({ headers }: IncomingMessage): Headers =>
  new Headers(Object.entries(headers).map(([name, value]) => [name, String(value)]))
