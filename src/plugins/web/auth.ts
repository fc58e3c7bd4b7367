import { randomBytes } from "node:crypto"
import type { Context } from "../../client/context.ts"
import { failure } from "../../model/errors.ts"
import { isPasswordAuth, passwordAuth, type PasswordAuth, type User } from "./passwords.ts"
import { cookieOf, sessionName } from "./session.ts"
import { bearerOf, isToken, tokenVisitor } from "./tokens.ts"
import type { Authenticate, Visitor } from "./visitor.ts"

/*
 * Who sends a request. A token of ours is asked first, then the session of a password login or the application's own
 * function. Nobody else comes in: there is no way to switch this off.
 */

export interface Known {
  readonly visitor: Visitor
  /** By what: `token` is no browser's doing, so other sites cannot misuse it. */
  readonly by: "token" | "session" | "application"
}

export interface Auth {
  /** Set: people sign in here, with name and password. */
  readonly passwords: PasswordAuth | undefined
  /** A password that was made up for this process, to be told to whoever started it. */
  readonly generated: { readonly name: string; readonly password: string } | undefined
  identify(request: Request): Promise<Known | Response | undefined>
}

/** Without `given`, one user whose password is made up. */
export function authOf(
  context: Context,
  ready: () => Promise<void>,
  given: Authenticate | PasswordAuth | undefined,
): Auth {
  const generated = given === undefined ? { name: "admin", password: randomBytes(12).toString("base64url") } : undefined
  const made = generated && passwordAuth({ users: { admin: { password: generated.password, role: "admin" } } })
  const passwords = made ?? (isPasswordAuth(given) ? given : undefined)
  const own = typeof given === "function" ? given : undefined
  return {
    passwords,
    generated,
    async identify(request) {
      const bearer = bearerOf(request)
      if (bearer !== undefined && isToken(bearer)) {
        await ready()
        const visitor = await tokenVisitor(context.db, context.names, bearer)
        return visitor && { visitor, by: "token" }
      }
      if (passwords) return signedIn(context, ready, passwords, request)
      const found = await own!(request)
      if (found instanceof Response) return found
      return found ? { visitor: checked(found), by: "application" } : undefined
    },
  }
}

async function signedIn(
  { db, names }: Context,
  ready: () => Promise<void>,
  { users }: PasswordAuth,
  request: Request,
): Promise<Known | undefined> {
  const cookie = cookieOf(request)
  if (cookie === undefined) return undefined
  await ready()
  const name = await sessionName(db, names, cookie)
  // What the user may do is what the configuration says now, not what it said at the login.
  const user = name === undefined ? undefined : users.get(name)
  if (name === undefined || !user) return undefined
  return { visitor: visitorOf(name, user), by: "session" }
}

function visitorOf(name: string, user: User): Visitor {
  const { password, ...grants } = user
  void password
  return { name, ...grants }
}

function checked(visitor: Visitor): Visitor {
  if (typeof visitor.name === "string" && visitor.name !== "") return visitor
  throw failure(
    "MILLRACE_BAD_OPTION",
    'auth must return undefined, or a visitor with a name: { name: user.email, role: "viewer" }.',
  )
}

/** Whether an address is this machine's own. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)

/** @throws MILLRACE_AUTH_NEEDED for an address that others reach, without anybody deciding who may come in. */
export function requireAuth(host: string, auth: unknown): void {
  if (auth !== undefined || isLoopback(host)) return
  throw failure(
    "MILLRACE_AUTH_NEEDED",
    `web: ${host} can be reached by others, so \`auth\` must say who may come in: a function of the request, or passwordAuth({ users }). Or listen on 127.0.0.1.`,
  )
}
