// A mounted dashboard over a database of its own, and ways to ask it, as a signed-in browser or by token.
import { type Millrace, type MillraceOptions } from "millrace"
import { webHandler, type HandlerOptions, type Visitor, type WebHandler } from "millrace/web"
import { onTestFinished } from "vitest"
import { startApp, type StartOptions } from "../../support/start-app.ts"

export interface Answer<Body = never> {
  readonly status: number
  readonly headers: Headers
  readonly body: [Body] extends [never] ? Record<string, never> & any : Body // oxlint-disable-line typescript/no-explicit-any
  readonly text: string
}

export interface AskOptions {
  readonly as?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export const host = "http://jobs.example"

/** Visitors that the tests' `auth` knows by a header. */
export const visitors: Readonly<Record<string, Visitor>> = {
  admin: { name: "ada", role: "admin" },
  operator: { name: "otto", role: "operator" },
  viewer: { name: "vera", role: "viewer" },
  nothing: { name: "nobody", permissions: [] },
}

export type Ask = ReturnType<typeof asker>

/** Asks as a page of our own would: same site, JSON. */
export function asker(handler: (request: Request) => Promise<Response>, base = "") {
  return async (
    method: string,
    path: string,
    { as = "admin", body, headers = {} }: AskOptions = {},
  ): Promise<Answer> => {
    const write = method !== "GET" && method !== "HEAD"
    const response = await handler(
      new Request(`${host}${base}/api/v1${path}`, {
        method,
        headers: {
          "x-visitor": as,
          ...(write ? { "content-type": "application/json", "sec-fetch-site": "same-origin", origin: host } : {}),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    )
    const text = await response.text()
    const json = /json/.test(response.headers.get("content-type") ?? "")
    return { status: response.status, headers: response.headers, text, body: json && text ? JSON.parse(text) : text }
  }
}

/** Only inside a test. */
export async function startSite(
  options: Partial<HandlerOptions> & { readonly known?: Readonly<Record<string, Visitor>> } = {},
  start: StartOptions = { worker: false },
) {
  const { known = visitors, ...given } = options
  const own = await startApp(start)
  const handler = webHandler(own.app, {
    auth: (request: Request) => known[request.headers.get("x-visitor") ?? ""],
    ...given,
  })
  onTestFinished(() => handler.close())
  return { ...own, handler, ask: asker(handler, given.basePath ?? "") }
}

export type Site = Awaited<ReturnType<typeof startSite>>
export type { Millrace, MillraceOptions, WebHandler }
