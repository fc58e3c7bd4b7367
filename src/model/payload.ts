import type { StandardSchemaV1 } from "@standard-schema/spec"
import { refused, type AnyDefinition } from "./definition.ts"

type Issues = readonly StandardSchemaV1.Issue[]

/**
 * Reads a stored payload as its handler gets it: parsed, put through the schema, upgraded when only an earlier
 * release's would pass. A promise only where the schema is asynchronous.
 *
 * @throws MILLRACE_BAD_PAYLOAD, or what `upgrade` throws.
 */
export function loadPayload(definition: AnyDefinition | undefined, text: string | null): unknown {
  const stored: unknown = text === null ? null : JSON.parse(text)
  const schema = definition?.payloadSchema
  if (!schema) return stored
  const checked = schema["~standard"].validate(stored)
  if (checked instanceof Promise) return checked.then((result) => accept(definition, result, stored))
  return accept(definition, checked, stored)
}

const accept = (definition: AnyDefinition, result: StandardSchemaV1.Result<unknown>, stored: unknown): unknown =>
  result.issues ? upgraded(definition, result.issues, stored) : result.value

/** A payload of undefined is stored as null; an old one goes through `upgrade`. */
async function upgraded(definition: AnyDefinition, issues: Issues, stored: unknown): Promise<unknown> {
  const { validate } = definition.payloadSchema!["~standard"]
  if (stored === null) {
    const empty = await validate(undefined)
    if (!empty.issues) return empty.value
  }
  if (!definition.upgrade) throw refused(definition, issues)
  const result = await validate(await definition.upgrade(stored))
  if (result.issues) throw refused(definition, result.issues)
  return result.value
}

/**
 * Puts a handler's result through the definition's schema.
 *
 * @throws MILLRACE_BAD_RESULT.
 */
export async function checkResult(definition: AnyDefinition, value: unknown): Promise<unknown> {
  const result = await definition.resultSchema!["~standard"].validate(value)
  if (result.issues) throw refused(definition, result.issues, "result")
  return result.value
}
