import { randomBytes } from "node:crypto"
import { uuidv7 } from "../../lib/uuid.ts"
import type { Connection } from "../../model/database.ts"
import type { PluginNames } from "../../model/plugin.ts"
import { hashOf } from "./session.ts"
import type { Visitor } from "./visitor.ts"

/*
 * Tokens for programs. The secret is shown once; the table has its hash. 32 random bytes need no slow hash: there is
 * nothing to guess. Looking one up is by the hash, which tells nothing about how near a guess was.
 */

const prefix = "mrt_"

export interface TokenRecord {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly queues: readonly string[] | null
  readonly created_by: string
  readonly created_at: Date
  readonly expires_at: Date | null
  readonly used_at: Date | null
  readonly revoked_at: Date | null
}

const columns = "id, name, scopes, queues, created_by, created_at, expires_at, used_at, revoked_at"

export interface NewToken {
  readonly name: string
  readonly scopes: readonly string[]
  readonly queues: readonly string[] | undefined
  readonly createdBy: string
  /** Milliseconds from now on; undefined: it does not expire. */
  readonly ttl: number | undefined
}

export async function createToken(
  db: Connection,
  names: PluginNames,
  token: NewToken,
): Promise<{ readonly secret: string; readonly token: TokenRecord }> {
  const secret = prefix + randomBytes(32).toString("base64url")
  const { rows } = await db.query<TokenRecord>(
    `insert into ${names.of("web_tokens")} (id, name, hash, scopes, queues, created_by, expires_at)
     values ($1, $2, $3, $4::text[], $5::text[], $6, now() + $7::float8 * interval '1 millisecond') returning ${columns}`,
    [uuidv7(), token.name, hashOf(secret), token.scopes, token.queues ?? null, token.createdBy, token.ttl ?? null],
  )
  return { secret, token: rows[0]! }
}

export async function listTokens(db: Connection, names: PluginNames): Promise<TokenRecord[]> {
  const { rows } = await db.query<TokenRecord>(
    `select ${columns} from ${names.of("web_tokens")} order by id desc limit 1000`,
  )
  return rows
}

/** @returns the token as it is now; undefined: there is none. Revoking twice is harmless. */
export async function revokeToken(db: Connection, names: PluginNames, id: string): Promise<TokenRecord | undefined> {
  const { rows } = await db.query<TokenRecord>(
    `update ${names.of("web_tokens")} set revoked_at = coalesce(revoked_at, now()) where id = $1 returning ${columns}`,
    [id],
  )
  return rows[0]
}

/** The secret that a request carries, in its header and nowhere else: addresses end up in logs. */
export function bearerOf(request: Request): string | undefined {
  return /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.get("authorization") ?? "")?.[1]
}

export const isToken = (secret: string): boolean => secret.startsWith(prefix)

/** Whom a secret lets in. Notes the use, at most once a minute. */
export async function tokenVisitor(db: Connection, names: PluginNames, secret: string): Promise<Visitor | undefined> {
  const { rows } = await db.query<TokenRecord & { stale: boolean }>(
    `select ${columns}, used_at is null or used_at < now() - interval '1 minute' as stale from ${names.of("web_tokens")}
     where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())`,
    [hashOf(secret)],
  )
  const [found] = rows
  if (!found) return undefined
  if (found.stale) await db.query(`update ${names.of("web_tokens")} set used_at = now() where id = $1`, [found.id])
  return {
    name: `token ${found.name}`,
    permissions: found.scopes,
    ...(found.queues === null ? {} : { queues: found.queues }),
  }
}
