import { badRequest, refuse } from "./problem.ts"

/** Room for what stands around a payload of the largest size. */
const around = 262_144

/** The text of a body. Bytes are counted while they arrive, whatever the header says. @throws Refused. */
export const bodyText = (request: Request, maxPayload: number): Promise<string> =>
  readText(request, maxPayload + around)

/** A body as JSON; undefined: there is none. @throws Refused. */
export function parsedBody(text: string): unknown {
  if (text.trim() === "") return undefined
  try {
    return JSON.parse(text, withoutPrototype)
  } catch {
    throw badRequest("The body is not JSON.")
  }
}

/** A key called __proto__ has no business in a request. */
function withoutPrototype(this: unknown, key: string, value: unknown): unknown {
  return key === "__proto__" ? undefined : value
}

async function readText(request: Request, most: number): Promise<string> {
  if (!request.body) return ""
  const reader = request.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    size += value.byteLength
    if (size > most) {
      await reader.cancel().catch(() => {})
      throw refuse(413, "MILLRACE_BODY_TOO_LARGE", `The body has more than ${most} bytes.`)
    }
    chunks.push(value)
  }
  return Buffer.concat(chunks).toString("utf8")
}
