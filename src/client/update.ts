import { encodeJson } from "../lib/json.ts"
import { integer, parseOptions, value, type OptionsInput } from "../lib/options.ts"
import { failure } from "../model/errors.ts"
import { parseMoment } from "../model/job-options.ts"
import type { JobPatch } from "../postgres/jobs.ts"

export const updateOptions = {
  /** A new time: a Date, or `"in 10m"`. */
  runAt: value<Date | string>({ type: "Date | text", doc: 'A new time: a Date, or `"in 10m"`.' }),
  /** A new priority. */
  priority: integer({ min: -1_000_000, max: 1_000_000, doc: "A new priority." }),
  /** A new payload. It is not put through the schema before it runs. */
  payload: value<unknown>({ type: "JSON", doc: "A new payload. It is not put through the schema before it runs." }),
}

export type UpdateOptions = OptionsInput<typeof updateOptions>

/** @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_JSON, MILLRACE_PAYLOAD_TOO_LARGE. */
export function patchOf(changes: UpdateOptions, maxPayload: number): JobPatch {
  const { runAt, priority } = parseOptions("update", updateOptions, changes)
  return {
    runAt: runAt === undefined ? undefined : parseMoment(runAt, "update.runAt"),
    rank: priority === undefined ? undefined : -priority || 0,
    payload: changes.payload === undefined ? undefined : payloadText(changes.payload, maxPayload),
  }
}

function payloadText(payload: unknown, maxPayload: number): string {
  const json = encodeJson(payload)
  if ("problem" in json) {
    const text = `update.payload cannot be stored as JSON: ${json.path ?? "$"} ${json.problem}.`
    throw failure("MILLRACE_BAD_JSON", text)
  }
  if (json.bytes <= maxPayload) return json.text
  const text = `update.payload is ${json.bytes} bytes of JSON, over the limit of ${maxPayload}.`
  throw failure("MILLRACE_PAYLOAD_TOO_LARGE", text)
}
