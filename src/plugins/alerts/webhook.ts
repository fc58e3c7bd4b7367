import { createHmac } from "node:crypto"
import { duration, parseOptions, text, value, type OptionsInput } from "../../lib/options.ts"
import { failure } from "../../model/errors.ts"
import { discard, retryAfter } from "../../model/outcome.ts"
import type { AlertChannel, Delivery, Notification } from "./channel.ts"

/*
 * Notifications as HTTP requests, signed as https://www.standardwebhooks.com says, so that receivers in any language verify
 * them with a library that exists. A redirect is followed only to where the configured address is: whoever answers there
 * must not be able to send what we know elsewhere.
 */

export const webhookOptions = {
  /** Unique among the channels. */
  name: text({ default: "webhook", doc: "Unique among the channels." }),
  /** Where to: `https://…`. */
  url: text({ required: true, pattern: /^https?:\/\/./, expects: "an address of http or https", doc: "Where to." }),
  /** What requests are signed with; `whsec_…` is base64, as Standard Webhooks has it. Default: they are not. */
  secret: text({
    doc: "What requests are signed with; `whsec_…` is base64, as Standard Webhooks has it. Default: they are not.",
  }),
  /** Further headers. */
  headers: value<Readonly<Record<string, string>>>({
    type: "{ name: text }",
    default: {},
    doc: "Further headers.",
    check: (given) =>
      typeof given === "object" && given !== null && Object.values(given).every((one) => typeof one === "string")
        ? undefined
        : 'must be { "x-name": "text" }',
  }),
  /** How long one attempt may take. */
  timeout: duration({ default: "10s", min: 1, max: 50_000, doc: "How long one attempt may take." }),
  /** Makes the body, as JSON; for Slack and others that want one of their own. */
  format: value<(notification: Notification) => unknown>({
    type: "function",
    doc: "Makes the body, as JSON; for Slack and others that want one of their own.",
    check: (given) => (typeof given === "function" ? undefined : "must be a function"),
  }),
}

export type WebhookOptions = OptionsInput<typeof webhookOptions>

const mostRedirects = 3

/** @throws MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION. */
export function webhook(given: WebhookOptions): AlertChannel {
  const options = parseOptions("webhook", webhookOptions, given, { uri: "url", key: "secret", token: "headers" })
  const { name, secret, headers, timeout, format = (notification) => notification } = options
  const url = addressOf(options.url)
  return {
    name,
    async send(notification, delivery) {
      const body = JSON.stringify(format(notification))
      const signed = secret === undefined ? {} : signature(secret, delivery, body)
      const signal = AbortSignal.any([delivery.signal, AbortSignal.timeout(timeout)])
      const all = { ...headers, "content-type": "application/json", "webhook-id": delivery.id, ...signed }
      await post(url, { body, headers: all, signal }, mostRedirects)
    },
  }
}

function addressOf(given: string): URL {
  if (URL.canParse(given)) return new URL(given)
  throw failure("MILLRACE_BAD_OPTION", `webhook.url: ${JSON.stringify(given)} is not an address.`)
}

interface Post {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

async function post(url: URL, request: Post, redirects: number): Promise<void> {
  const response = await fetch(url, { ...request, method: "POST", redirect: "manual" })
  await response.body?.cancel()
  const { status } = response
  if (status >= 200 && status < 300) return
  if (status === 307 || status === 308) return post(redirectOf(url, response, redirects), request, redirects - 1)
  const error = new Error(`${url.origin} answered with status ${status}`)
  // oxlint-disable-next-line typescript/only-throw-error -- a directive is thrown like an error, and is none
  if (status === 410) throw discard(error) // it says itself that it will never want it
  const wait = Number(response.headers.get("retry-after"))
  // oxlint-disable-next-line typescript/only-throw-error -- as above
  if (wait > 0 && wait <= 3_600) throw retryAfter(wait * 1_000, error)
  throw error
}

/** @throws when it leads to another host. */
function redirectOf(from: URL, response: Response, left: number): URL {
  const to = new URL(response.headers.get("location") ?? "", from)
  if (to.origin !== from.origin) throw new Error(`${from.origin} redirects to ${to.origin}, which is not followed`)
  if (left <= 0) throw new Error(`${from.origin} redirects too often`)
  return to
}

function signature(secret: string, { id }: Delivery, body: string): Record<string, string> {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret)
  const timestamp = String(Math.floor(Date.now() / 1_000)) // for the receiver, against old requests sent again
  const hash = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")
  return { "webhook-timestamp": timestamp, "webhook-signature": `v1,${hash}` }
}
