import { createHash, randomBytes } from "node:crypto"
import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"

/*
 * Who is signed in. The cookie's value is 32 random bytes that stand nowhere else; the table has their hash. So a session
 * works in every process, ends everywhere at once, and a copy of the database opens nothing.
 */

export const cookieName = "__Host-millrace"

export const hashOf = (secret: string): Buffer => createHash("sha256").update(secret).digest()

/** @returns the cookie's value. */
export async function openSession(db: Connection, names: PluginNames, name: string, ttl: number): Promise<string> {
  const value = randomBytes(32).toString("base64url")
  await db.query(
    `insert into ${names.of("web_sessions")} (hash, name, expires_at) values ($1, $2, now() + $3::float8 * interval '1 millisecond')`,
    [hashOf(value), name, ttl],
  )
  return value
}

/** The name that is signed in with a cookie's value. */
export async function sessionName(db: Connection, names: PluginNames, value: string): Promise<string | undefined> {
  const { rows } = await db.query<{ name: string }>(
    `select name from ${names.of("web_sessions")} where hash = $1 and expires_at > now()`,
    [hashOf(value)],
  )
  return rows[0]?.name
}

export async function closeSession(db: Connection, names: PluginNames, value: string): Promise<void> {
  await db.query(`delete from ${names.of("web_sessions")} where hash = $1`, [hashOf(value)])
}

/** The session cookie of a request. Of several, none: somebody has put one beside ours. */
export function cookieOf(request: Request): string | undefined {
  const found = (request.headers.get("cookie") ?? "")
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part.startsWith(`${cookieName}=`))
    .map((part) => part.slice(cookieName.length + 1))
  return found.length === 1 && /^[\w-]{43}$/.test(found[0]!) ? found[0] : undefined
}

/** Sent only over TLS (and to this machine), to this host and path, from pages of this host, and out of reach of scripts. */
export const setCookie = (value: string, ttl: number): string =>
  `${cookieName}=${value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=${Math.floor(ttl / 1_000)}`
