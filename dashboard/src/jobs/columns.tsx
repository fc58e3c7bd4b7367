import type { ReactNode } from "react"
import { isFinal, type JobRow } from "../api/jobs.ts"
import { duration, now, shortId } from "../format.ts"
import { useTick } from "../live/tick.ts"
import { jobAt, Link } from "../router.ts"
import { StateBadge } from "../ui/state.tsx"
import { Ago } from "../ui/time.tsx"

export interface Column {
  key: string
  title: string
  /** CSS width; the job itself takes what is left. */
  width?: string
  right?: boolean
  /** Not on phones. */
  wide?: boolean
  cell: (job: JobRow) => ReactNode
}

export const columns: readonly Column[] = [
  { key: "state", title: "State", width: "118px", cell: (job) => <StateBadge state={job.state} /> },
  { key: "job", title: "Job", cell: (job) => <Name job={job} /> },
  { key: "queue", title: "Queue", width: "120px", wide: true, cell: (job) => <span className="cut">{job.queue}</span> },
  {
    key: "attempts",
    title: "Attempts",
    width: "76px",
    right: true,
    wide: true,
    cell: (job) => (
      <span className={job.attempts > 1 ? undefined : "muted"}>
        {job.attempts}/{job.maxAttempts}
      </span>
    ),
  },
  {
    key: "priority",
    title: "Priority",
    width: "72px",
    right: true,
    wide: true,
    cell: (job) => <span className={job.priority === 0 ? "muted" : undefined}>{job.priority}</span>,
  },
  { key: "took", title: "Took", width: "82px", right: true, wide: true, cell: (job) => <Took job={job} /> },
  { key: "when", title: "When", width: "116px", right: true, cell: (job) => <When job={job} /> },
  {
    key: "worker",
    title: "Worker",
    width: "112px",
    wide: true,
    cell: (job) => <span className="muted cut">{job.worker ? shortId(job.worker) : "–"}</span>,
  },
  { key: "tags", title: "Tags", width: "120px", wide: true, cell: (job) => <Tags tags={job.tags} /> },
  {
    key: "id",
    title: "Id",
    width: "104px",
    wide: true,
    cell: (job) => <span className="mono muted">{shortId(job.id)}</span>,
  },
]

export const usualColumns = ["state", "job", "queue", "attempts", "took", "when", "worker"]

/** `order=1 amount=16.35`, of JSON that may be cut off anywhere. */
const glimpseOf = (json: string): string =>
  json
    .replace(/^\{/, "")
    .replace(/\}$/, "")
    .replaceAll(/(^|[{,])"([\w$.-]+)":/g, "$1$2=")
    .replaceAll(/,(?=[\w$.-]+=)/g, "  ")
    .replaceAll('"', "")

function Name({ job }: { job: JobRow }) {
  return (
    <>
      <Link to={jobAt(job.id)} className="name" tabIndex={-1}>
        {job.name}
      </Link>{" "}
      <span className="mono muted glimpse">
        {job.state === "failed" || job.state === "retrying" ? (
          <span className="excerpt">{job.error?.message}</span>
        ) : (
          glimpseOf(job.payloadPreview)
        )}
      </span>
    </>
  )
}

const Tags = ({ tags }: { tags: readonly string[] }) =>
  tags.length === 0 ? null : <span className="tag">{tags.join(" ")}</span>

/** What matters next, or what mattered last. */
export function When({ job }: { job: JobRow }) {
  if (job.state === "scheduled" || job.state === "retrying") return <Ago at={job.runAt} />
  if (job.state === "running") return <Ago at={job.startedAt ?? job.createdAt} />
  return <Ago at={isFinal(job.state) ? job.finishedAt : job.createdAt} />
}

export function Took({ job }: { job: JobRow }) {
  useTick()
  if (!job.startedAt || (job.state !== "running" && !job.finishedAt)) return <span className="muted">–</span>
  const end = job.finishedAt && isFinal(job.state) ? Date.parse(job.finishedAt) : now()
  return <>{duration(Math.max(0, end - Date.parse(job.startedAt)))}</>
}
