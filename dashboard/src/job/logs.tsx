import { useQuery } from "@tanstack/react-query"
import { useEffect, useRef, useState } from "react"
import { isFinal, logs, type Job, type LogLine } from "../api/jobs.ts"
import { clockTime, glimpse } from "../format.ts"

const mostShown = 2_000

/** The job's own lines, as they come. */
export function Logs({ job }: { job: Job }) {
  const [lines, setLines] = useState<readonly LogLine[]>([])
  const box = useRef<HTMLDivElement>(null)
  const after = lines.at(-1)?.n ?? 0
  const { data } = useQuery({
    queryKey: ["job", job.id, "logs", after],
    queryFn: () => logs(job.id, after),
    refetchInterval: isFinal(job.state) ? false : 2_000,
    gcTime: 0,
  })
  useEffect(() => {
    const news = (data ?? []).filter((line) => line.n > after)
    if (news.length > 0) setLines([...lines, ...news].slice(-mostShown))
  }, [data])
  useEffect(() => {
    const view = box.current
    if (view && view.scrollHeight - view.scrollTop - view.clientHeight < 120) view.scrollTop = view.scrollHeight
  }, [lines])
  if (lines.length === 0) return null
  return (
    <section className="card">
      <header>
        <h2>Log</h2>
        <span className="meta">{lines.length} lines</span>
      </header>
      <div className="log" ref={box} tabIndex={0} role="log" aria-label="Log of the job">
        {lines.map((line) => (
          <div key={line.n} className={line.level}>
            <time dateTime={line.at}>{clockTime(line.at, { fractionalSecondDigits: 3 })}</time>
            <span className="level">{line.level}</span>
            <span>
              {line.message}
              {Object.keys(line.fields ?? {}).length > 0 && <span className="muted"> {glimpse(line.fields, 400)}</span>}
            </span>
          </div>
        ))}
      </div>
    </section>
  )
}
