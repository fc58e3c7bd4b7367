// A job's life as one bar: waiting, running, waiting again.
import type { Attempt, Job } from "../api/jobs.ts"
import { isFinal } from "../api/jobs.ts"
import { duration, now } from "../format.ts"
import { useTick } from "../live/tick.ts"

interface Segment {
  kind: "pending" | "scheduled" | "running" | "failed" | "succeeded" | "retrying"
  from: number
  to: number
  text: string
}

function segmentsOf(job: Job, attempts: readonly Attempt[], at: number): Segment[] {
  const created = Date.parse(job.createdAt)
  const end = job.finishedAt && isFinal(job.state) ? Date.parse(job.finishedAt) : at
  const segments: Segment[] = []
  let last = created
  for (const one of attempts) {
    const from = one.startedAt ? Date.parse(one.startedAt) : Number.NaN
    const to = one.endedAt ? Date.parse(one.endedAt) : end
    if (Number.isNaN(from)) continue
    segments.push({ kind: segments.length === 0 ? "pending" : "retrying", from: last, to: from, text: "waited" })
    segments.push({ kind: kindOf(job, one), from, to, text: `attempt ${one.attempt}` })
    last = to
  }
  if (segments.length === 0 && job.startedAt) {
    const from = Date.parse(job.startedAt)
    segments.push({ kind: "pending", from: created, to: from, text: "waited" })
    segments.push({
      kind: job.state === "failed" ? "failed" : job.state === "succeeded" ? "succeeded" : "running",
      from,
      to: end,
      text: "ran",
    })
    last = end
  }
  if (!isFinal(job.state) && last < end && job.state !== "running") {
    segments.push({ kind: job.state === "scheduled" ? "scheduled" : "pending", from: last, to: end, text: "waits" })
  }
  return segments.filter(({ from, to }) => to > from)
}

function kindOf(job: Job, one: Attempt): Segment["kind"] {
  if (one.error) return "failed"
  return one.endedAt === null || job.state === "running" ? "running" : "succeeded"
}

export function Timeline({ job, attempts }: { job: Job; attempts: readonly Attempt[] }) {
  useTick()
  const segments = segmentsOf(job, attempts, now())
  if (segments.length === 0) return null
  // Short stretches stay visible beside long ones: the root of the time, not the time.
  const weight = ({ from, to }: Segment) => Math.max(1, Math.sqrt(to - from))
  return (
    <ol className="timeline" aria-label="What happened when">
      {segments.map((segment, index) => (
        <li key={index} className={`s-${segment.kind}`} style={{ flexGrow: weight(segment) }}>
          <i />
          <span>
            {segment.text} <b>{duration(segment.to - segment.from)}</b>
          </span>
        </li>
      ))}
    </ol>
  )
}
