import { logLevels, type LogLevel, type LogLine } from "../model/job-log.ts"
import type { LogChunkRow } from "../postgres/logs.ts"

/**
 * The lines of stored chunks behind `after`, at most `limit`. Where lines were dropped, one line stands for them that says
 * how many.
 */
export function linesOf(chunks: readonly LogChunkRow[], after: number, limit: number): LogLine[] {
  const lines: LogLine[] = []
  let last = after
  for (const { n, attempt, at, lines: stored } of chunks) {
    if (lines.length >= limit) break
    if (n > last + 1) lines.push(dropped(n - 1, n - 1 - last, attempt, at))
    stored.forEach(({ a, l, m, f }, index) => {
      if (n + index <= after) return
      lines.push({
        n: n + index,
        at: new Date(at.getTime() - a),
        attempt,
        level: logLevels.includes(l as LogLevel) ? (l as LogLevel) : "info",
        message: m,
        fields: (f ?? {}) as LogLine["fields"],
      })
    })
    last = n + stored.length - 1
  }
  return lines.slice(0, limit)
}

const dropped = (n: number, count: number, attempt: number, at: Date): LogLine => ({
  n,
  at,
  attempt,
  level: "warn",
  message: count === 1 ? "… one line was dropped here" : `… ${count} lines were dropped here`,
  fields: { dropped: count },
})
