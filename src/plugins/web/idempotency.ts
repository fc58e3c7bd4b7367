import { createHash } from "node:crypto"
import type { Context } from "../../client/context.ts"
import { badRequest, refuse, type Refused } from "./problem.ts"
import type { Call, Route } from "./route.ts"

/*
 * A write that a client sends again, because no answer came, is done once: `Idempotency-Key`. The key belongs to a visitor, a
 * method and an address. Whoever writes its row first does the deed and stores the answer there; whoever comes later gets that
 * answer. A row without an answer is a deed that is under way, or whose process has gone: nobody knows whether it took effect
 * then, so it is not done again under this key.
 */

export const keepKeys = "24 hours"

/** What a request is known by; undefined: it asks for nothing of this. @throws Refused. */
export function keyOf(route: Route, { request }: Call): string | undefined {
  const given = request.headers.get("idempotency-key")
  if (given === null || route.method !== "POST") return undefined
  const key = /^"(.*)"$/.exec(given)?.[1] ?? given
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key
  throw badRequest("Idempotency-Key: 1 to 255 visible characters, such as a UUID.")
}

interface Stored {
  body: Buffer
  status: number | null
  headers: [string, string][] | null
  answer: Buffer | null
  lost: boolean
}

/** Does a deed once per key. @param deed never throws. @throws Refused when it cannot be done under this key. */
export async function once(route: Route, call: Call, key: string, deed: () => Promise<Response>): Promise<Response> {
  const { context } = call.site
  await call.site.ready()
  const { pathname, search } = new URL(call.request.url)
  const { visitor, by } = call.known
  const place = [`${by} ${visitor.name}`, `${route.method} ${pathname}${search}`, key]
  const body = createHash("sha256")
    .update(await call.text())
    .digest()
  const known = await claim(context, place, body)
  if (known) return again(known, body)
  const response = await deed()
  if (await cameToNothing(response)) await forget(context, place)
  else await store(context, place, response, route.secret === true)
  return response
}

/** Takes the key; what stands there already when it is taken. */
async function claim({ db, names }: Context, place: readonly string[], body: Buffer): Promise<Stored | undefined> {
  const table = names.of("web_keys")
  for (;;) {
    const taken = await db.query(
      `insert into ${table} as k (visitor, route, key, body) values ($1, $2, $3, $4)
       on conflict (visitor, route, key) do update set body = excluded.body, status = null, headers = null, answer = null, at = now()
       where k.at < now() - interval '${keepKeys}' returning 1`,
      [...place, body],
    )
    if (taken.count > 0) return undefined
    const { rows } = await db.query<Stored>(
      `select body, status, headers, answer, at < now() - interval '1 minute' as lost from ${table}
       where visitor = $1 and route = $2 and key = $3`,
      place,
    )
    if (rows[0]) return rows[0] // else it came to nothing in between, and is free again
  }
}

function again({ body, status, headers, answer, lost }: Stored, now: Buffer): Response {
  if (!body.equals(now)) {
    throw refuse(
      422,
      "MILLRACE_IDEMPOTENCY_KEY_REUSED",
      "This Idempotency-Key belongs to a request with another body. Use a new key for a new request.",
    )
  }
  if (status === null) throw lost ? unknown() : underWay()
  if (answer === null)
    throw refuse(409, "MILLRACE_ANSWER_NOT_KEPT", "This was done, and its answer holds a secret that is shown once.")
  return new Response(answer.length === 0 ? null : new Uint8Array(answer), {
    status,
    headers: [...(headers ?? []), ["idempotent-replayed", "true"]],
  })
}

const underWay = (): Refused =>
  refuse(
    409,
    "MILLRACE_IDEMPOTENCY_KEY_BUSY",
    "The first request with this Idempotency-Key is under way. Send it again in a moment.",
    undefined,
    { "retry-after": "1" },
  )

const unknown = (): Refused =>
  refuse(
    409,
    "MILLRACE_IDEMPOTENCY_KEY_BUSY",
    "The first request with this Idempotency-Key never came to an end, and nobody knows whether it took effect. Look, then use a new key.",
  )

/** Nothing was done, and the same request may succeed later. A push of which nobody knows is not among these. */
async function cameToNothing(response: Response): Promise<boolean> {
  if (![429, 503, 504].includes(response.status)) return false
  return !(await response.clone().text()).includes("MILLRACE_PUSH_UNKNOWN")
}

/** Not kept: cookies, and secrets, of which there is to be no copy. */
async function store({ db, names, log }: Context, place: readonly string[], response: Response, secret: boolean) {
  const headers = [...response.headers].filter(([name]) => name !== "set-cookie")
  const answer = secret && response.ok ? null : Buffer.from(await response.clone().arrayBuffer())
  await db
    .query(
      `update ${names.of("web_keys")} set status = $4, headers = $5::text::jsonb, answer = $6
       where visitor = $1 and route = $2 and key = $3`,
      [...place, response.status, JSON.stringify(headers), answer],
    )
    // The deed is done: its answer goes out, and the key says that nobody knows.
    .catch((error: unknown) => log.error("web: an answer could not be kept for its key", { error: String(error) }))
}

const forget = ({ db, names }: Context, place: readonly string[]) =>
  db.query(`delete from ${names.of("web_keys")} where visitor = $1 and route = $2 and key = $3`, place)
