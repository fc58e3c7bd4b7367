import { randomBytes, scrypt, timingSafeEqual, type BinaryLike, type ScryptOptions } from "node:crypto"
import { promisify } from "node:util"
import { parseOptions, value } from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import { roles } from "./permissions.ts"
import type { Visitor } from "./visitor.ts"

/** A person that signs in with a password. */
export interface User extends Omit<Visitor, "name"> {
  /** The password, or better what `hashPassword` made of it: `scrypt$…`. */
  readonly password: string
}

export interface PasswordAuth {
  readonly users: ReadonlyMap<string, User>
}

const passwordOptions = {
  /** Name to password, or to `{ password, role }`. */
  users: value<Readonly<Record<string, string | User>>>({
    type: "{ name: password | { password, role } }",
    required: true,
    doc: "Name to password, or to `{ password, role }`. A password may be what `hashPassword` made of it.",
    check: (given) =>
      typeof given === "object" && given !== null && Object.keys(given).length > 0
        ? undefined
        : "must be an object with at least one user",
  }),
}

/**
 * Signing in with name and password, for `auth`: `passwordAuth({ users: { ada: { password: "scrypt$…", role: "admin" } } })`.
 * A password alone makes an `operator`.
 *
 * @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION.
 */
export function passwordAuth(given: { readonly users: Readonly<Record<string, string | User>> }): PasswordAuth {
  const { users } = parseOptions("passwordAuth", passwordOptions, given)
  const entries = Object.entries(users).map(([name, one]): [string, User] => {
    const user: User = typeof one === "string" ? { password: one, role: "operator" } : one
    if (typeof user?.password !== "string" || user.password.length < 8) {
      throw failure(
        "MILLRACE_BAD_OPTION",
        `passwordAuth.users: the password of "${name}" must have at least 8 characters.`,
      )
    }
    if (user.role !== undefined && !roles.includes(user.role)) {
      throw failure("MILLRACE_BAD_OPTION", `passwordAuth.users: the role of "${name}" is one of ${roles.join(", ")}.`)
    }
    return [name, user]
  })
  return Object.freeze({ users: new Map(entries) })
}

export const isPasswordAuth = (given: unknown): given is PasswordAuth =>
  typeof given === "object" && given !== null && (given as { users?: unknown }).users instanceof Map

const derive = promisify<BinaryLike, BinaryLike, number, ScryptOptions, Buffer>(scrypt)
const cost = { N: 16_384, r: 8, p: 1 } as const
const bytes = 32

/** What to store instead of a password: `scrypt$N$r$p$salt$hash`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16)
  const hash = await derive(password.normalize("NFC"), salt, bytes, cost)
  return ["scrypt", cost.N, cost.r, cost.p, salt.toString("base64url"), hash.toString("base64url")].join("$")
}

// A name that nobody has costs as much time as one with a wrong password.
const nobody = hashPassword(randomBytes(16).toString("hex"))
/** Passwords given as plain text are hashed once. */
const hashed = new WeakMap<User, Promise<string>>()

/** The user with this password; undefined when there is none. Takes the same time whatever is wrong. */
export async function checkPassword(auth: PasswordAuth, name: string, password: string): Promise<User | undefined> {
  const user = auth.users.get(name)
  const stored = user ? await storedOf(user) : await nobody
  const fits = await verify(stored, password)
  return user && fits ? user : undefined
}

function storedOf(user: User): Promise<string> {
  if (user.password.startsWith("scrypt$")) return Promise.resolve(user.password)
  const known = hashed.get(user) ?? hashPassword(user.password)
  hashed.set(user, known)
  return known
}

async function verify(stored: string, password: string): Promise<boolean> {
  const [, N, r, p, salt = "", hash = ""] = stored.split("$")
  const wanted = Buffer.from(hash, "base64url")
  const settings = { N: Number(N), r: Number(r), p: Number(p), maxmem: 128 * 1024 * 1024 }
  const given = await derive(password.normalize("NFC"), Buffer.from(salt, "base64url"), bytes, settings)
  return wanted.length === given.length && timingSafeEqual(wanted, given)
}
