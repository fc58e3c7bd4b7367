import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { Handler } from "./handler.ts"

/** A server of its own around a handler. */
export interface Listening {
  /** Where it is, with its base path. */
  readonly url: string
  close(): Promise<void>
}

/** @throws what listening throws, such as an address that is in use. */
export async function listen(handler: Handler, host: string, port: number): Promise<Listening> {
  const server = createServer((request, response) => void handler.node(request, response))
  // A client that never finishes its request holds nothing for long; streams are answers, which these do not concern.
  server.requestTimeout = 30_000
  server.headersTimeout = 15_000
  server.on("upgrade", (request, socket, head) => {
    if (!handler.upgrade(request, socket, head)) socket.destroy()
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, host, () => {
      server.off("error", reject)
      resolve()
    })
  })
  const { port: given } = server.address() as AddressInfo
  const { basePath } = handler.site.options
  return {
    url: `http://${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${given}${basePath}`,
    async close() {
      await handler.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}
