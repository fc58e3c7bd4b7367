import { failure } from "./errors.ts"

const allowed = /^[A-Za-z0-9_][A-Za-z0-9_.:/#-]{0,127}$/

/**
 * A name of a job, queue or worker.
 *
 * @throws MILLRACE_BAD_NAME unless it is 1 to 128 of letters, digits and `_ . : / # -`, starting with a letter, digit or `_`.
 */
export function checkName(what: string, name: unknown): string {
  if (typeof name === "string" && allowed.test(name)) return name
  throw failure(
    "MILLRACE_BAD_NAME",
    `${what}: ${typeof name === "string" ? JSON.stringify(name.slice(0, 80)) : typeof name} is not a usable name. ` +
      'Use 1 to 128 letters, digits and "_ . : / # -", starting with a letter, a digit or "_".',
  )
}
