// The one place that talks to the server. Errors arrive as problem+json.
const root = new URL("api/v1", document.baseURI).href

export class ApiError extends Error {
  readonly status: number
  readonly code: string | undefined
  readonly fields: Readonly<Record<string, unknown>>

  constructor(status: number, message: string, fields: Readonly<Record<string, unknown>> = {}) {
    super(message)
    this.status = status
    this.fields = fields
    this.code = typeof fields.code === "string" ? fields.code : undefined
  }
}

type Query = Readonly<Record<string, string | number | undefined>>

export const urlOf = (path: string, query: Query = {}): string => {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") params.set(name, String(value))
  }
  const search = params.toString()
  return `${root}${path}${search === "" ? "" : `?${search}`}`
}

let signedOut: () => void = () => {}

/** Called when the server does not know who we are (any more). */
export const onSignedOut = (act: () => void): void => void (signedOut = act)

async function request<T>(method: string, url: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method,
    credentials: "same-origin",
    headers: {
      accept: "application/json",
      // Writes say that they are JSON, also without a body: no other site can.
      ...(method === "GET" ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const json: unknown = text === "" ? undefined : parse(text)
  if (response.ok) return json as T
  if (response.status === 401 && !url.endsWith("/login")) signedOut()
  throw problem(response, json)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function problem(response: Response, json: unknown): ApiError {
  const fields = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>
  const nested = (typeof fields.error === "object" && fields.error !== null ? fields.error : {}) as Record<
    string,
    unknown
  >
  const all = { ...fields, ...nested }
  const message = [all.detail, all.message, all.title, all.error].find((one) => typeof one === "string")
  return new ApiError(response.status, (message as string) ?? `${response.status} ${response.statusText}`, all)
}

export const get = <T>(path: string, query?: Query): Promise<T> => request<T>("GET", urlOf(path, query))
export const post = <T>(path: string, body: unknown = {}, headers?: Record<string, string>): Promise<T> =>
  request<T>("POST", urlOf(path), body, headers)
export const put = <T>(path: string, body: unknown): Promise<T> => request<T>("PUT", urlOf(path), body)
export const patch = <T>(path: string, body: unknown, headers?: Record<string, string>): Promise<T> =>
  request<T>("PATCH", urlOf(path), body, headers)
/** With a body, though nobody reads it: Fastify refuses one that is said to be JSON and empty. */
export const remove = <T>(path: string): Promise<T> => request<T>("DELETE", urlOf(path), {})

/** A name or id as one part of a path. */
export const part = (text: string): string => encodeURIComponent(text)

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
