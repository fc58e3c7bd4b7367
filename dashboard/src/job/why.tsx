import { useQuery } from "@tanstack/react-query"
import { explain, type Job } from "../api/jobs.ts"
import { Skeleton } from "../ui/loading.tsx"

/** "Why is this not running?", asked by itself for every job that waits. */
export function Why({ job }: { job: Job }) {
  const waits = ["pending", "scheduled", "retrying", "blocked"].includes(job.state)
  const { data, error } = useQuery({
    queryKey: ["job", job.id, "explain", job.state],
    queryFn: () => explain(job.id),
    enabled: waits,
    refetchInterval: 5_000,
  })
  if (!waits || error) return null
  return (
    <section className="note warn why" aria-label="Why is this not running?">
      <div className="stack tight">
        <h2>Why is this not running?</h2>
        {!data && <Skeleton rows={1} />}
        {data?.summary && <p>{data.summary}</p>}
        {data && data.reasons.length > 0 && (
          <ul>
            {data.reasons.map((reason, index) => (
              <li key={index}>
                {reason.text !== data.summary && reason.text}
                {reason.action && <span className="muted"> {reason.action}</span>}
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  )
}
