import { isDirective, packDirective, unpackDirective, type PackedDirective, type Report } from "./outcome.ts"
import { encodeJson, sanitizeJson } from "../lib/json.ts"
import { MillraceError } from "../lib/error.ts"

/*
 * Reports and errors as plain data, for executors whose handlers run in another thread or process. A result travels as
 * the JSON that will be stored, so that it means the same wherever it was made. An error keeps its name, code, stack,
 * causes and plain fields; its class stays behind, which is why `onError` is asked where it was thrown.
 */

export interface PackedError {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
  readonly cause?: PackedError | undefined
  /** JSON text of its other own fields. */
  readonly fields?: string | undefined
  /** What was thrown was no error; JSON text. */
  readonly thrown?: string | undefined
}

export type PackedReport =
  /** Succeeded without a result. */
  | null
  /** JSON text of its result. */
  | string
  | { readonly directive: PackedDirective; readonly reason?: PackedError | undefined }
  | {
      readonly error: PackedError
      readonly final?: boolean | undefined
      readonly policy?:
        { readonly directive: PackedDirective; readonly reason?: PackedError | undefined } | null | undefined
    }

const maxResult = 1_000_000
const maxFields = 16_384

/** Describes anything that was thrown; never throws itself. */
export function packError(thrown: unknown, depth = 0): PackedError {
  try {
    if (typeof thrown !== "object" || thrown === null || !("message" in thrown))
      return { name: "", message: "", thrown: sanitizeJson(thrown, maxFields) }
    const { name, message, stack, cause, ...fields } = own(thrown as Error)
    return {
      name: String(name ?? "Error"),
      message: String(message),
      stack: typeof stack === "string" ? stack : undefined,
      cause: cause === undefined || depth >= 5 ? undefined : packError(cause, depth + 1),
      fields: Object.keys(fields).length > 0 ? sanitizeJson(fields, maxFields) : undefined,
    }
  } catch {
    return { name: "Error", message: "an error that cannot be described was thrown" }
  }
}

const own = (error: Error): Record<string, unknown> => ({
  ...Object.fromEntries(Object.entries(error)),
  name: error.name,
  message: error.message,
  stack: error.stack,
  cause: error.cause,
})

export function unpackError(packed: PackedError): unknown {
  const { name, message, stack, cause, fields, thrown } = packed
  if (thrown !== undefined) return JSON.parse(thrown)
  const more = fields === undefined ? {} : (JSON.parse(fields) as Record<string, unknown>)
  const { code } = more
  const error =
    typeof code === "string" && code.startsWith("MILLRACE_") ? new MillraceError(code, message) : new Error(message)
  if (cause) error.cause = unpackError(cause)
  if (error.name !== name) Object.defineProperty(error, "name", { value: name, configurable: true, writable: true })
  if (stack !== undefined) error.stack = stack
  return Object.assign(error, more)
}

/** A value as the JSON text that will be stored. */
export function packValue(value: unknown): string | null {
  if (value === undefined) return null
  const json = encodeJson(value)
  return "text" in json && json.bytes <= maxResult ? json.text : sanitizeJson(value, maxResult)
}

export const unpackValue = (text: string | null): unknown => (text === null ? undefined : (JSON.parse(text) as unknown))

type Told = { readonly directive: PackedDirective; readonly reason?: PackedError | undefined }

function packTold(told: Parameters<typeof packDirective>[0]): Told {
  return { directive: packDirective(told), reason: told.reason === undefined ? undefined : packError(told.reason) }
}

const unpackTold = ({ directive, reason }: Told) => unpackDirective(directive, reason && unpackError(reason))

export function packReport(report: Report): PackedReport {
  if (report.ok) return isDirective(report.value) ? packTold(report.value) : packValue(report.value)
  if (isDirective(report.error)) return packTold(report.error)
  const { error, final, policy } = report
  return { error: packError(error), final, policy: policy ? packTold(policy) : policy }
}

export function unpackReport(packed: PackedReport): Report {
  if (packed === null || typeof packed === "string") return { ok: true, value: unpackValue(packed), checked: true }
  if ("directive" in packed) return { ok: true, value: unpackTold(packed) }
  const { error, final, policy } = packed
  return {
    ok: false,
    error: unpackError(error),
    ...(final && { final }),
    ...(policy !== undefined && { policy: policy && unpackTold(policy) }),
  }
}
