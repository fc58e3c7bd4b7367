import { isMillraceError } from "../../lib/error.ts"

/** Refusals as the API tells them: application/problem+json of RFC 9457, with the code of the error. */

export interface Problem {
  readonly status: number
  readonly code: string
  /** What to do next. */
  readonly detail: string
  readonly more?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

/** Thrown by a route to answer with a problem. */
export class Refused extends Error {
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.detail)
    this.problem = problem
  }
}

export const refuse = (
  status: number,
  code: string,
  detail: string,
  more?: Readonly<Record<string, unknown>>,
  headers?: Readonly<Record<string, string>>,
): Refused => new Refused({ status, code, detail, ...(more ? { more } : {}), ...(headers ? { headers } : {}) })

export const notFound = (what: string): Refused => refuse(404, "MILLRACE_NOT_FOUND", `There is no ${what}.`)

export const badRequest = (detail: string, more?: Readonly<Record<string, unknown>>): Refused =>
  refuse(400, "MILLRACE_BAD_REQUEST", detail, more)

export const forbidden = (permission: string): Refused =>
  refuse(403, "MILLRACE_FORBIDDEN", `This needs the permission "${permission}".`, { permission })

/** The status that goes with a code of ours; anything else of ours is a request that cannot be understood. */
const statusOf: Readonly<Record<string, number>> = {
  MILLRACE_UNKNOWN_JOB: 404,
  MILLRACE_UNKNOWN_QUEUE: 404,
  MILLRACE_UNKNOWN_PLUGIN: 404,
  MILLRACE_JOB_RUNNING: 409,
  MILLRACE_JOB_FINISHED: 409,
  MILLRACE_KEY_TAKEN: 409,
  MILLRACE_KEY_BUSY: 409,
  MILLRACE_NOT_LEADER: 409,
  MILLRACE_PAYLOAD_TOO_LARGE: 413,
  MILLRACE_BAD_PAYLOAD: 422,
  MILLRACE_NOT_CONNECTED: 503,
  MILLRACE_NOT_MIGRATED: 503,
  MILLRACE_PUSH_UNKNOWN: 503,
  MILLRACE_CLOSED: 503,
  MILLRACE_QUERY_TIMEOUT: 504,
}

/** The problem that an error means; undefined for one that is a fault of ours, whose text is nobody's business. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof Refused) return error.problem
  if (isMillraceError(error)) return { status: statusOf[error.code] ?? 400, code: error.code, detail: error.message }
  const state = (error as { code?: unknown } | null)?.code
  if (state === "57014")
    return { status: 504, code: "MILLRACE_QUERY_TIMEOUT", detail: "This took too long and was stopped. Narrow it." }
  return undefined
}

const titles: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Not signed in",
  403: "Not allowed",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  412: "Changed meanwhile",
  413: "Too large",
  415: "Wrong content type",
  422: "Refused",
  429: "Too many requests",
  500: "Internal error",
  501: "Not available",
  503: "Not available now",
  504: "Took too long",
}

export function problemResponse({ status, code, detail, more, headers }: Problem): Response {
  const body = {
    type: `urn:millrace:problem:${code}`,
    title: titles[status] ?? "Problem",
    status,
    code,
    detail,
    ...more,
  }
  return new Response(safeJson(body), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
  })
}

/** JSON without a character that HTML would read as markup, should anybody ever put it there. */
export const safeJson = (body: unknown): string =>
  (JSON.stringify(body) ?? "null").replaceAll(
    /[<>&\u2028\u2029]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
