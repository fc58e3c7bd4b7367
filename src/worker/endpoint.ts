import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { failure } from "../model/errors.ts"
import type { WorkerHealth } from "../model/health.ts"

/*
 * The worker's own HTTP endpoint, for orchestrators and scrapers: /healthz, /readyz, /metrics. It only reads, answers from
 * memory, and has no authentication: it listens on the loopback unless told otherwise.
 */

export interface EndpointOptions {
  readonly port: number
  /** Default `127.0.0.1`. */
  readonly host?: string
}

export interface EndpointSource {
  health(): WorkerHealth
  route(request: Request): Promise<Response> | undefined
}

export interface Endpoint {
  readonly port: number
  close(): Promise<void>
}

/** @throws MILLRACE_BAD_OPTION when it cannot listen there. */
export async function openEndpoint(
  { port, host = "127.0.0.1" }: EndpointOptions,
  source: EndpointSource,
): Promise<Endpoint> {
  const server = createServer((request, response) => void answer(request, response, source))
  await listening(server, port, host)
  // A scraper that keeps its connection does not keep the process.
  server.unref()
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

function listening(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(host, port, error)))
    server.listen(port, host, resolve)
  })
}

const cannotListen = (host: string, port: number, cause: Error) =>
  failure("MILLRACE_BAD_OPTION", `Worker.health: cannot listen on ${host}:${port}: ${cause.message}.`, cause)

async function answer(request: IncomingMessage, response: ServerResponse, source: EndpointSource): Promise<void> {
  try {
    const { status, type, body } = await reply(request, source)
    const head = { "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-store" }
    response.writeHead(status, head)
    response.end(request.method === "HEAD" ? undefined : body)
  } catch (error) {
    response.writeHead(500, { "content-type": "text/plain; charset=utf-8" })
    response.end(`${String(error)}\n`)
  }
}

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

async function reply({ method, url = "/" }: IncomingMessage, source: EndpointSource): Promise<Reply> {
  if (method !== "GET" && method !== "HEAD") return plain(405, "only GET\n")
  const path = url.split("?", 1)[0]
  if (path === "/healthz") return health(source.health(), alive)
  if (path === "/readyz") return health(source.health(), ({ ready }) => ready)
  if (path === "/metrics") return metrics(source)
  return plain(404, "there are /healthz, /readyz and /metrics\n")
}

/** Whether restarting the process could not help: it runs, or is on its way to or from it. */
const alive = ({ state }: WorkerHealth): boolean => state !== "stopped"

function health(found: WorkerHealth, good: (health: WorkerHealth) => boolean): Reply {
  const body = `${JSON.stringify({ ok: good(found), ...found }, null, 2)}\n`
  return { status: good(found) ? 200 : 503, type: "application/json; charset=utf-8", body }
}

async function metrics(source: EndpointSource): Promise<Reply> {
  const response = await source.route(new Request("http://localhost/plugins/metrics/prometheus"))
  if (!response) return plain(404, "this worker has no metrics plugin\n")
  return { status: response.status, type: response.headers.get("content-type")!, body: await response.text() }
}

const plain = (status: number, body: string): Reply => ({ status, type: "text/plain; charset=utf-8", body })
