import { refuse, type Refused } from "./problem.ts"

/*
 * No write from another site. Browsers say where a request comes from (`Sec-Fetch-Site`, else `Origin`), and a page cannot
 * send `application/json` to another site without asking first. All three must agree; what is no browser sends a token.
 */

const safe = new Set(["GET", "HEAD", "OPTIONS"])

/** Why a request is refused; undefined when it may go on. Requests that carry a token of their own are not a browser's doing. */
export function crossSite(request: Request, origins: readonly string[], byToken: boolean): Refused | undefined {
  if (safe.has(request.method)) return undefined
  if (!isJson(request)) {
    return refuse(415, "MILLRACE_BAD_CONTENT_TYPE", 'Send "content-type: application/json", also without a body.')
  }
  if (byToken) return undefined
  return sameSite(request, origins) ? undefined : refuse(403, "MILLRACE_CROSS_SITE", crossText)
}

const crossText =
  "This request comes from another site. Behind a proxy that changes the host, name the public origin in `origins`; programs send an API token."

const isJson = (request: Request): boolean =>
  /^application\/json\s*(?:;|$)/i.test(request.headers.get("content-type") ?? "")

/** Whether a browser says that a page of ours sent this. */
export function sameSite(request: Request, origins: readonly string[]): boolean {
  const site = request.headers.get("sec-fetch-site")
  const origin = request.headers.get("origin")
  if (origin !== null && !isOurs(request, origin, origins)) return false
  if (site !== null) return site === "same-origin" || (origin !== null && origins.includes(origin))
  return origin !== null
}

function isOurs(request: Request, origin: string, origins: readonly string[]): boolean {
  if (origins.includes(origin)) return true
  // A proxy that speaks TLS for us passes the host on, and not the scheme.
  const host = request.headers.get("host") ?? new URL(request.url).host
  return URL.canParse(origin) && new URL(origin).host === host
}
