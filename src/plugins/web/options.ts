import {
  boolean,
  duration,
  integer,
  list,
  parseOptions,
  text,
  value,
  type OptionsInput,
  type OptionsOutput,
} from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import type { JobRecord } from "../../model/job.ts"
import type { PasswordAuth } from "./passwords.ts"
import type { Authenticate, Authorize, Visitor } from "./visitor.ts"

const isFunction = (given: unknown): string | undefined =>
  typeof given === "function" ? undefined : "must be a function"

const isAuth = (given: unknown): string | undefined =>
  typeof given === "function" || (typeof given === "object" && given !== null && "users" in given)
    ? undefined
    : "must be a function of the request, or passwordAuth({ users })"

/** Names of keys, `payload.card.number`, or a function that returns what may be shown. */
export type Redact = readonly string[] | ((job: JobRecord, visitor: Visitor) => JobRecord)

/** What webHandler and the plugin share. */
export const handlerOptions = {
  /** Who may come in: a function of the request, or `passwordAuth({ users })`. Without it, only loopback, with a password that is made up and printed. */
  auth: value<Authenticate | PasswordAuth>({
    type: "function | passwordAuth(…)",
    doc: "Who may come in: a function of the request, or `passwordAuth({ users })`. Without it, only loopback, with a password that is made up and printed.",
    check: isAuth,
  }),
  /** A last word on each action, queue and job: `({ visitor, permission, queue, job }) => boolean`. */
  authorize: value<Authorize>({
    type: "function",
    doc: "A last word on each action, queue and job: `({ visitor, permission, queue, job }) => boolean`.",
    check: isFunction,
  }),
  /** Where it is mounted: `/jobs`. */
  basePath: text({
    default: "/",
    pattern: /^\/(?:[\w.~-]+(?:\/[\w.~-]+)*)?$/,
    expects: 'a path such as "/jobs", without a slash at the end',
    doc: "Where it is mounted: `/jobs`.",
  }),
  /** Nobody may change anything, whatever the role. */
  readOnly: boolean({ default: false, doc: "Nobody may change anything, whatever the role." }),
  /** Keys whose values never leave the server (any depth), paths such as `payload.card`, or a function of job and visitor. */
  redact: value<Redact>({
    type: "list of text | function",
    doc: "Keys whose values never leave the server (any depth), paths such as `payload.card`, or a function of job and visitor. Default: password, secret, token and their like.",
    check: (given) =>
      typeof given === "function" || (Array.isArray(given) && given.every((one) => typeof one === "string"))
        ? undefined
        : "must be a list of names or paths, or a function",
  }),
  /** Origins that browsers may write from, besides the request's own: `https://jobs.example.com` behind a proxy that changes the host. */
  origins: list(text({ doc: "An origin." }), {
    default: [],
    doc: "Origins that browsers may write from, besides the request's own: `https://jobs.example.com` behind a proxy that changes the host.",
  }),
  /** How long a login lasts. */
  sessionTtl: duration({ default: "12h", min: 1_000, doc: "How long a login lasts." }),
  /** A label on every page, such as `production`. */
  environment: text({ doc: "A label on every page, such as `production`." }),
  /** How often open streams show life, and are looked at whether the visitor still may. */
  heartbeat: duration({
    default: "15s",
    min: 10,
    max: 60_000,
    doc: "How often open streams show life, and are looked at whether the visitor still may.",
  }),
  /** Longest time of one statement behind a page. */
  statementTimeout: duration({
    default: "2s",
    min: 50,
    max: 60_000,
    doc: "Longest time of one statement behind a page.",
  }),
  /** Deleted jobs that an operation keeps for its undo; more are deleted for good. */
  recycleBin: integer({
    default: 10_000,
    max: 1_000_000,
    doc: "Deleted jobs that an operation keeps for its undo; more are deleted for good.",
  }),
  /** How long the audit, finished operations, the recycle bin and marks are kept. */
  keepAudit: duration({
    default: "90d",
    min: 1_000,
    doc: "How long the audit, finished operations, the recycle bin and marks are kept.",
  }),
  /** Folder of the built dashboard. Default: the one in this package. */
  assets: text({ doc: "Folder of the built dashboard. Default: the one in this package." }),
}

/** What the plugin takes besides: where it listens. */
export const webOptions = {
  ...handlerOptions,
  /** Name of the plugin on the worker. */
  name: text({ default: "web", doc: "Name of the plugin on the worker." }),
  /** Address to listen on. Off loopback an `auth` is needed. */
  host: text({ default: "127.0.0.1", doc: "Address to listen on. Off loopback an `auth` is needed." }),
  /** Port to listen on; 0 for any that is free. */
  port: integer({ default: 8000, max: 65_535, doc: "Port to listen on; 0 for any that is free." }),
  /** False: no server in workers; mount `app.plugin("web").handler` yourself. */
  listen: boolean({ default: true, doc: 'False: no server in workers; mount `app.plugin("web").handler` yourself.' }),
}

export type HandlerOptions = OptionsInput<typeof handlerOptions>
export type WebOptions = OptionsInput<typeof webOptions>
export type ParsedHandler = OptionsOutput<typeof handlerOptions>

/** What other systems call them. */
export const hints = {
  path: "basePath",
  prefix: "basePath",
  mount: "basePath",
  authentication_backend: "auth",
  authenticate: "auth",
  authentication: "auth",
  access: "authorize",
  resolver: "authorize",
  secret_key: "Sessions live in the database; no secret is needed.",
  secret: "Sessions live in the database; no secret is needed.",
  debug: "There is no debug mode; see the app's logger.",
  hostname: "host",
  readonly: "readOnly",
  read_only: "readOnly",
}

/** @throws MILLRACE_AUTH_NEEDED without `auth`: whoever mounts a handler decides who comes in. MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION. */
export function parseHandler(given: HandlerOptions): ParsedHandler {
  const options = parseOptions("webHandler", handlerOptions, given, hints)
  if (options.auth !== undefined) return options
  throw failure(
    "MILLRACE_AUTH_NEEDED",
    "webHandler: `auth` must say who may come in: a function of the request, or passwordAuth({ users }).",
  )
}
