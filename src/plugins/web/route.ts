import type { JobRecord } from "../../model/job.ts"
import type { Rule } from "../../model/rule.ts"
import type { Permission } from "./permissions.ts"
import { safeJson } from "./problem.ts"
import type { Known } from "./auth.ts"
import type { Site } from "./site.ts"

/** JSON Schema, as the OpenAPI document shows it. */
export type Schema = Readonly<Record<string, unknown>>

export type Method = "GET" | "POST" | "PATCH" | "DELETE"

/**
 * One route. The table of all of them is the only way in: what is not in it does not exist, and each says what a visitor
 * must hold. `public` needs nobody to be known, `visitor` anybody who is.
 */
export interface Route {
  readonly method: Method
  /** Below /api/v1: `/jobs/:id`. */
  readonly path: string
  readonly permission: Permission | "public" | "visitor"
  readonly summary: string
  /** Parameters of the query string, with what they are. */
  readonly query?: Readonly<Record<string, string>>
  readonly body?: Schema
  /** Status of the usual answer. Default 200. */
  readonly status?: number
  /** Its answer holds something that is stored nowhere. */
  readonly secret?: true
  /** Streams and documents, which are no JSON. */
  readonly produces?: string
  handle(call: Call): unknown
}

/** What a write has to tell the audit. */
export interface Note {
  readonly target?: string
  readonly before?: unknown
  readonly after?: unknown
}

/** One request on its way through a route. */
export interface Call {
  readonly site: Site
  readonly request: Request
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** Who asks. On public routes `nobody`. */
  readonly known: Known
  /** The body as it came, counted while it is read. @throws Refused. */
  text(): Promise<string>
  /** The body as JSON; undefined: there is none. @throws Refused. */
  body(): Promise<unknown>
  /** Like `body`, but it must be an object. */
  fields(): Promise<Readonly<Record<string, unknown>>>
  /** Tells the audit what was changed. */
  note(note: Note): void
  /** @throws Refused unless the visitor holds the permission and the resolver agrees. */
  require(permission: string, about?: { readonly queue?: string; readonly job?: JobRecord }): Promise<void>
  /** What narrows everything that this visitor sees; undefined: nothing does. */
  readonly scope: Rule | undefined
}

/** An answer with a status of its own. */
export const reply = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response =>
  new Response(status === 204 ? null : safeJson(body), {
    status,
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store", ...headers },
  })
