import { failure } from "../model/errors.ts"
import { sqlState } from "./sqlstate.ts"

// no such schema, no such table, no such function
const missing = new Set(["3F000", "42P01", "42883"])

/** Says in our words that tables are missing; any other error comes back as it is. For statements of ours only. */
export function explained(error: unknown): unknown {
  if (!missing.has(sqlState(error))) return error
  return failure(
    "MILLRACE_NOT_MIGRATED",
    "Tables or functions of Millrace are missing, or older than this release: call `await app.migrate()` or run `millrace migrate` once, in your deploy step or at boot.",
    error,
  )
}
