import type { IncomingMessage, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import type { Millrace } from "../../client/millrace.ts"
import type { Handler, WebHandler } from "./handler.ts"
import { parseHandler, type HandlerOptions } from "./options.ts"
import { isEvents } from "./paths.ts"

/**
 * A handler whose code is loaded with its first request, so that an app that never serves the dashboard loads nothing of it.
 * Options are checked now.
 *
 * @throws what `webHandler` throws.
 */
export function lazyHandler(app: Millrace, given: HandlerOptions): WebHandler {
  const options = parseHandler(given)
  let made: Promise<Handler> | undefined
  const handler = () => (made ??= import("./handler.ts").then(({ makeHandler }) => makeHandler(app, options)))
  return Object.assign(async (request: Request) => (await handler())(request), {
    node: async (request: IncomingMessage, response: ServerResponse, body?: unknown) =>
      (await handler()).node(request, response, body),
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
      if (!isEvents(request, options.basePath)) return false
      // A client that goes away meanwhile must not be an error that nobody hears.
      const gone = () => socket.destroy()
      socket.on("error", gone)
      void handler().then((loaded) => {
        loaded.upgrade(request, socket, head)
        socket.off("error", gone)
      }, gone)
      return true
    },
    // Only made up where no `auth` is given, which is refused here.
    login: undefined,
    close: async () => (await made)?.close(),
  })
}
