import type { Job } from "../api/jobs.ts"
import { jobAt, Link } from "../router.ts"

/** Where a job came from, as its meta tells: a schedule, a workflow, a flow, another job. */
const origins: readonly { key: string; title: string; to: (value: string) => string }[] = [
  { key: "workflow", title: "Workflow", to: (id) => `/workflows/${encodeURIComponent(id)}` },
  { key: "workflowId", title: "Workflow", to: (id) => `/workflows/${encodeURIComponent(id)}` },
  { key: "flow", title: "Flow", to: (id) => `/flows/${encodeURIComponent(id)}` },
  { key: "schedule", title: "Schedule", to: (key) => `/schedules/${encodeURIComponent(key)}` },
  { key: "cron", title: "Schedule", to: (key) => `/schedules/${encodeURIComponent(key)}` },
  { key: "clonedFrom", title: "Cloned from", to: jobAt },
  { key: "parent", title: "Pushed by", to: jobAt },
]

function valueOf(raw: unknown): string | undefined {
  if (typeof raw === "string") return raw
  const inside = raw as { id?: unknown; key?: unknown } | null | undefined
  const found = typeof inside === "object" && inside !== null ? (inside.id ?? inside.key) : undefined
  return typeof found === "string" ? found : undefined
}

export function Lineage({ job }: { job: Job }) {
  const meta = { ...job.meta, ...(job.meta?.millrace as Record<string, unknown> | undefined) }
  const found = origins.flatMap(({ key, title, to }) => {
    const value = valueOf(meta[key])
    return value === undefined ? [] : [{ title, value, to: to(value) }]
  })
  if (found.length === 0) return null
  return (
    <section className="card">
      <dl className="facts body">
        {found.map(({ title, value, to }) => (
          <div key={title} className="fact">
            <dt>{title}</dt>
            <dd>
              <Link className="link mono" to={to}>
                {value}
              </Link>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
