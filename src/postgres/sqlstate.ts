/**
 * What a failed statement means for the caller, decided once.
 *
 * - `retry`: the database or the way to it was in trouble, or rows were contended; the same statement may be sent again
 *   (every statement of ours is idempotent by client-made ids or tokens).
 * - `data`: a value in the statement cannot be stored: it will fail again, and only the row that holds it should.
 * - `partition`: the history lacks a partition for this moment.
 * - `fatal`: something is wrong that waiting does not mend (a missing table, a syntax error, no permission).
 */
export type Verdict = "retry" | "data" | "partition" | "fatal"

const connectCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ENOENT"])

/** There is no way to the server now. */
export const unreachable = (error: unknown): boolean => connectCodes.has(sqlState(error))

const networkCodes = new Set([
  "MILLRACE_NOT_CONNECTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT", // a unix socket that is not there yet
  "MILLRACE_QUERY_TIMEOUT",
  "MILLRACE_COMMIT_UNKNOWN",
])

// 08 connection, 40 rollback (deadlock, serialisation), 53 resources, 55P03 lock timeout, 57 operator intervention
// (shutdown, crash, statement cancelled), 58 system error, 25006 a read-only standby after a failover.
const retryClass = /^(08|40|53|57|58|55P03|55006|25006)/

export function sqlState(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === "string" ? code : ""
}

export function verdict(error: unknown): Verdict {
  const code = sqlState(error)
  if (code === "23514" && /partition/i.test(String((error as Error).message))) return "partition"
  if (networkCodes.has(code) || retryClass.test(code)) return "retry"
  if (/^2[23]/.test(code)) return "data"
  if (code === "") return connectionLost(error) ? "retry" : "fatal"
  return "fatal"
}

/** The driver reports some lost connections as plain errors without a code. */
const connectionLost = (error: unknown): boolean =>
  error instanceof Error &&
  /terminat|connection (ended|error)|closed|not queryable|timeout (exceeded )?when trying to connect|timeout expired/i.test(
    error.message,
  )
