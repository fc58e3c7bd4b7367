/**
 * Every error this package throws on purpose. `code` is stable and starts with `MILLRACE_`; the message says what to
 * do next and may change in any release.
 */
export class MillraceError extends Error {
  readonly code: string

  // On the prototype, so that the stack's first line carries the name and no instance prints it twice.
  static {
    Object.defineProperty(this.prototype, "name", { value: "MillraceError", configurable: true, writable: true })
  }

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/**
 * Is this an error of this package, and, when `code` is given, that one?
 *
 * Decided by shape and never by `instanceof`: two copies of the package in one process, a thread or another realm all
 * produce errors of a foreign class.
 */
export function isMillraceError(error: unknown, code?: string): error is MillraceError {
  if (typeof error !== "object" || error === null || !("code" in error) || !("message" in error)) return false
  if (typeof error.code !== "string" || !error.code.startsWith("MILLRACE_")) return false
  return code === undefined || error.code === code
}

/** Text for anything that was thrown; never throws itself, whatever its getters do. */
export function describe(thrown: unknown): string {
  try {
    return String((thrown as Error | null | undefined)?.message ?? thrown)
  } catch {
    return "something that cannot be described"
  }
}
