import { parseOptions } from "../../lib/options.ts"
import type { Millrace } from "../../client/millrace.ts"
import type { Plugin, PluginContext } from "../../model/plugin.ts"
import { failure } from "../../model/errors.ts"
import { requireAuth } from "./auth.ts"
import { makeHandler, type Handler, type WebHandler } from "./handler.ts"
import { keepKeys } from "./idempotency.ts"
import { webMigrations, webTables } from "./migrations.ts"
import { hints, parseHandler, webOptions, type HandlerOptions, type WebOptions } from "./options.ts"
import { listen, type Listening } from "./server.ts"

/** The plugin: what its factory returns. */
export interface WebPlugin extends Plugin {
  /** Answers requests of the dashboard and the API, on any process that has the app. */
  readonly handler: WebHandler
  /** Where this process listens; undefined: it does not (yet). */
  readonly url: string | undefined
}

/**
 * The dashboard and its HTTP API, served by workers on a port of their own, or mounted elsewhere by `plugin.handler`.
 *
 * @throws MILLRACE_AUTH_NEEDED off loopback without `auth`, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION.
 */
export function web(given?: WebOptions): WebPlugin {
  const { name, host, port, listen: listens, ...options } = parseOptions("web", webOptions, given, hints)
  if (listens) requireAuth(host, options.auth)
  let handler: Handler | undefined
  let server: Listening | undefined
  const made = (): Handler => {
    if (handler) return handler
    throw failure("MILLRACE_BAD_PLUGIN", "web() belongs to an app: new Millrace({ plugins: [web()] }).")
  }
  return {
    name,
    migrations: webMigrations,
    tables: webTables,
    attach: (app) => void (handler = makeHandler(app.client as Millrace, options)),
    onStart: (ctx) => made().site.onWorker(ctx),
    async run(ctx) {
      if (!listens) return
      // Of several workers on a machine one has the port; the others wait, and one of them takes over.
      for (let said = false; !(server = await listenUnlessTaken(made(), host, port)); said = true) {
        if (!said)
          ctx.log.info(`the dashboard's port ${port} is taken, maybe by another worker; trying again every 5 s`)
        if (!(await ctx.sleep("5s"))) return
      }
      announce(ctx, made(), server.url)
    },
    async onStop() {
      made().site.onWorker(undefined)
      await server?.close()
      server = undefined
    },
    cleanup: (ctx) => cleanUp(ctx, options.keepAudit),
    get handler() {
      return made()
    },
    get url() {
      return server?.url
    },
  }
}

/** Undefined: somebody else listens there. */
async function listenUnlessTaken(handler: Handler, host: string, port: number): Promise<Listening | undefined> {
  return listen(handler, host, port).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return undefined
    throw error
  })
}

function announce(ctx: PluginContext, { login }: Handler, url: string): void {
  ctx.log.info(`the dashboard is at ${url}`)
  // Said once, to whoever reads the log of this process, and kept nowhere.
  if (login)
    ctx.log.info(
      `sign in as "${login.name}" with the password ${login.password} (made up for this process; give \`auth\` to set your own)`,
    )
}

async function cleanUp({ db, names }: PluginContext, keep: number): Promise<number> {
  const old = "now() - $1::float8 * interval '1 millisecond'"
  const statements: [string, readonly unknown[]][] = [
    [`delete from ${names.of("web_sessions")} where expires_at < now()`, []],
    [`delete from ${names.of("web_keys")} where at < now() - interval '${keepKeys}'`, []],
    [`delete from ${names.of("web_operations")} where created_at < ${old}`, [keep]],
    [`delete from ${names.of("web_marks")} where at < ${old}`, [keep]],
    [`delete from ${names.of("web_audit")} where at < ${old}`, [keep]],
  ]
  let gone = 0
  for (const [text, values] of statements) gone += (await db.query(text, values)).count
  return gone
}

/**
 * The dashboard and its API as a function from Request to Response, for your own server. See docs/web.md for Express,
 * Fastify, Hono and Next.
 *
 * @throws MILLRACE_AUTH_NEEDED without `auth`: whoever mounts it decides who comes in. MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION.
 */
export function webHandler(app: Millrace, given: HandlerOptions): WebHandler {
  return makeHandler(app, parseHandler(given))
}

/**
 * A server for the dashboard alone, without a worker.
 *
 * @throws MILLRACE_AUTH_NEEDED off loopback without `auth`, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION.
 */
export async function serveWeb(
  app: Millrace,
  given?: Omit<WebOptions, "name" | "listen">,
): Promise<Listening & { readonly login: WebHandler["login"] }> {
  const { name: _, listen: __, host, port, ...options } = parseOptions("serveWeb", webOptions, given, hints)
  requireAuth(host, options.auth)
  const handler = makeHandler(app, options)
  return { ...(await listen(handler, host, port)), login: handler.login }
}
