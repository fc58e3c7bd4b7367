import type { IncomingMessage } from "node:http"

/** Where things are below the place that the handler is mounted at. */

export const apiBase = "/api/v1"

/** A proxy may have taken the base path away; then the path stands as it is. */
export function pathBelow(url: string, basePath: string): string {
  const { pathname } = new URL(url)
  if (basePath === "/") return pathname
  if (pathname === basePath) return "/"
  return pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : pathname
}

/** The address of a request of Node's; undefined: it is none. */
export function urlOf({ headers, url = "/" }: IncomingMessage): string | undefined {
  const text = `http://${headers.host ?? "localhost"}${url}`
  return URL.canParse(text) ? text : undefined
}

/** Whether a request is for the stream of events. */
export function isEvents(request: IncomingMessage, basePath: string): boolean {
  const url = urlOf(request)
  return url !== undefined && pathBelow(url, basePath) === `${apiBase}/events`
}
