import type { JobRecord } from "../index.ts"
import { formatDuration } from "../lib/duration.ts"
import { paint, paintState } from "./output.ts"
import type { Column } from "./table.ts"

/** "3 m 2 s ago", or "in 5 s". */
export function relative(moment: Date | undefined): string {
  if (!moment) return ""
  const ms = Date.now() - moment.getTime()
  return ms >= 0 ? `${formatDuration(ms)} ago` : `in ${formatDuration(-ms)}`
}

/** One line of JSON, without what would be too long to look at. */
export function brief(value: unknown, length = 60): string {
  if (value === undefined || value === null) return ""
  const text = JSON.stringify(value)
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

export const jobColumns: readonly Column<JobRecord>[] = [
  { title: "id", cell: (job) => job.id },
  { title: "state", cell: (job) => paintState(job.state) },
  { title: "name", cell: (job) => job.name, flexible: true },
  { title: "queue", cell: (job) => job.queue, flexible: true },
  { title: "attempts", cell: (job) => `${job.attempts}/${job.maxAttempts}`, right: true },
  { title: "created", cell: (job) => relative(job.createdAt), right: true },
  { title: "payload", cell: (job) => brief(job.payload), flexible: true },
  { title: "error", cell: (job) => job.errors.at(-1)?.message ?? "", flexible: true },
]

/** A job, for a person, field by field. */
export function describeJob(job: JobRecord): string {
  const fields: [string, string | undefined][] = [
    ["job", `${job.id}  ${paintState(job.state)}`],
    ["name", job.name],
    ["queue", job.queue],
    ["priority", String(job.priority)],
    ["attempts", `${job.attempts} of ${job.maxAttempts}${job.crashes ? `, ${job.crashes} crashes` : ""}`],
    ["created", when(job.createdAt)],
    ["due", job.runAt.getTime() > job.createdAt.getTime() ? when(job.runAt) : undefined],
    ["started", when(job.startedAt)],
    ["finished", when(job.finishedAt)],
    ["worker", job.worker],
    ["unique key", job.uniqueKey],
    ["tags", job.tags.join(", ") || undefined],
    ["blocked by", job.blockedBy],
    ["cancelled", job.cancel && `${job.cancel.reason ?? "without a reason"} (${job.cancel.at})`],
    ["progress", job.progress === undefined ? undefined : brief(job.progress, 500)],
    ["payload", JSON.stringify(job.payload)],
    ["meta", Object.keys(job.meta).length > 0 ? JSON.stringify(job.meta) : undefined],
    ["result", job.result === undefined ? undefined : JSON.stringify(job.result)],
  ]
  const lines = fields
    .filter(([, text]) => text !== undefined)
    .map(([title, text]) => `${paint("dim", title.padEnd(11))} ${text}`)
  const errors = job.errors.map(
    (error) =>
      `${paint("red", `attempt ${error.attempt}`)} ${relative(error.at === undefined ? undefined : new Date(error.at))}  ${error.name}: ${error.message}` +
      (error.stack ? `\n${paint("dim", error.stack.split("\n").slice(1, 6).join("\n"))}` : ""),
  )
  return [...lines, ...(errors.length > 0 ? ["", ...errors] : [])].join("\n")
}

const when = (moment: Date | undefined): string | undefined =>
  moment && `${moment.toISOString()}  (${relative(moment)})`
