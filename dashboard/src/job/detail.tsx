import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { attempts as readAttempts, getJob, isFinal, type Attempt, type Job } from "../api/jobs.ts"
import { ApiError } from "../api/http.ts"
import { duration } from "../format.ts"
import { Took } from "../jobs/columns.tsx"
import { useTopics } from "../live/events.ts"
import { jobsAt, Link, queueAt } from "../router.ts"
import { CopyButton } from "../ui/copy.tsx"
import { Empty } from "../ui/empty.tsx"
import { Json } from "../ui/json.tsx"
import { Problem, Skeleton } from "../ui/loading.tsx"
import { StateBadge } from "../ui/state.tsx"
import { Moment } from "../ui/time.tsx"
import { JobActions } from "./actions.tsx"
import { Errors } from "./errors.tsx"
import { Lineage } from "./lineage.tsx"
import { Logs } from "./logs.tsx"
import { Timeline } from "./timeline.tsx"
import { Why } from "./why.tsx"

export function JobDetail({ id, panel = false, extra }: { id: string; panel?: boolean; extra?: ReactNode }) {
  useTopics(`job:${id}`)
  const job = useQuery({ queryKey: ["job", id], queryFn: () => getJob(id) })
  const attempts = useQuery({ queryKey: ["job", id, "attempts"], queryFn: () => readAttempts(id) }).data ?? []
  if (job.error instanceof ApiError && job.error.status === 404) {
    return (
      <>
        {extra}
        <h1 className="sr">No such job</h1>
        <Empty title="There is no such job">It may have been deleted, or its retention is over.</Empty>
      </>
    )
  }
  if (!job.data)
    return job.error ? <Problem error={job.error} retry={() => void job.refetch()} /> : <Skeleton rows={10} />
  return <Loaded job={job.data} attempts={attempts} panel={panel} extra={extra} />
}

interface LoadedProps {
  job: Job
  attempts: readonly Attempt[]
  panel: boolean
  extra: ReactNode
}

function Loaded({ job, attempts, panel, extra }: LoadedProps) {
  const Heading = panel ? "h2" : "h1"
  return (
    <article className={`job-detail${panel ? " in-panel" : ""}`} aria-label={`Job ${job.name}`}>
      <header>
        <div className="row">
          <StateBadge state={job.state} solid />
          <Heading className="cut">{job.name}</Heading>
          <span className="grow" />
          {extra}
        </div>
        <div className="row tight meta">
          <span className="mono cut">{job.id}</span>
          <CopyButton text={job.id} label="Copy the id" />
        </div>
        <JobActions job={job} panel={panel} />
      </header>
      <Timeline job={job} attempts={attempts} />
      <Progress job={job} />
      <Why job={job} />
      <div className="columns">
        <div className="stack">
          <Errors job={job} />
          <Part title="Payload">
            <Json value={job.payload} label="Payload" field="payload" />
          </Part>
          {job.hasResult && (
            <Part title="Result">
              <Json value={job.result} label="Result" />
            </Part>
          )}
          <Logs job={job} />
        </div>
        <div className="stack">
          <Facts job={job} />
          <Lineage job={job} />
          {Object.keys(job.meta ?? {}).length > 0 && (
            <Part title="Meta">
              <Json value={job.meta} label="Meta" field="meta" />
            </Part>
          )}
        </div>
      </div>
    </article>
  )
}

const Part = ({ title, children }: { title: string; children: ReactNode }) => (
  <section className="stack tight">
    <h2>{title}</h2>
    {children}
  </section>
)

function Progress({ job }: { job: Job }) {
  const { progress } = job
  if (progress === undefined || progress === null) return null
  const share = typeof progress === "number" ? progress : (progress as { share?: unknown }).share
  if (typeof share === "number" && share >= 0 && share <= 1) {
    return (
      <div className="row">
        <progress aria-label="Progress" max={1} value={share} />
        <span className="num">{Math.round(share * 100)} %</span>
      </div>
    )
  }
  return <Json value={progress} label="Progress" />
}

function Facts({ job }: { job: Job }) {
  const facts: [string, ReactNode][] = [
    [
      "Queue",
      <Link key="q" className="link" to={queueAt(job.queue)}>
        {job.queue}
      </Link>,
    ],
    [
      "Attempts",
      `${job.attempts} of ${job.maxAttempts}${job.crashes > 0 ? `, and ${job.crashes} lost with a worker` : ""}`,
    ],
    ["Priority", job.priority],
    ["Ran", <Took key="t" job={job} />],
    ["Created", <Moment key="c" at={job.createdAt} />],
    ["Due", <Moment key="d" at={job.runAt} />],
  ]
  if (job.startedAt) facts.push(["Started", <Moment key="s" at={job.startedAt} />])
  if (isFinal(job.state)) facts.push(["Finished", <Moment key="f" at={job.finishedAt} />])
  if (job.expiresAt) facts.push(["Expires", <Moment key="e" at={job.expiresAt} />])
  if (job.worker)
    facts.push([
      "Worker",
      <Link key="w" className="link mono" to={`/workers/${encodeURIComponent(job.worker)}`}>
        {job.worker}
      </Link>,
    ])
  if (job.uniqueKey)
    facts.push([
      "Unique key",
      <Link key="u" className="link mono" to={jobsAt(`key:${JSON.stringify(job.uniqueKey)}`)}>
        {job.uniqueKey}
      </Link>,
    ])
  if (job.tags.length > 0) facts.push(["Tags", <Tags key="g" tags={job.tags} />])
  if (job.cancel) facts.push(["Cancel", `asked for${job.cancel.reason ? `: ${job.cancel.reason}` : ""}`])
  if (job.retention) facts.push(["Kept", keptFor(job)])
  facts.push(["Claims", job.claims])
  return (
    <section className="card">
      <dl className="facts body">
        {facts.map(([name, value]) => (
          <div key={name} className="fact">
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

function keptFor(job: Job): string {
  const seconds = job.state === "failed" ? job.retention!.failed : job.retention!.succeeded
  return seconds < 0 ? "for ever" : seconds === 0 ? "not at all" : `${duration(seconds * 1000)} after it ends`
}

const Tags = ({ tags }: { tags: readonly string[] }) => (
  <span className="row tight">
    {tags.map((tag) => (
      <Link key={tag} className="tag" to={jobsAt(`tag:${JSON.stringify(tag)}`)}>
        {tag}
      </Link>
    ))}
  </span>
)
