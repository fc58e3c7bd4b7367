import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { quoteValue } from "../../../src/model/query.ts"
import { getGroup, type ErrorDetails } from "../api/errors.ts"
import { useMay } from "../api/meta.ts"
import { StackedBars, type Stack } from "../charts/bars.tsx"
import { number, plural } from "../format.ts"
import { BulkDialog } from "../jobs/bulk.tsx"
import { jobAt, jobsAt, Link } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Code } from "../ui/copy.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { Table } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"
import { Triage } from "./errors.tsx"

/** The failed jobs of a group, as a search: by the part of the message that does not vary. */
export function searchOf(group: ErrorDetails): string {
  const fixed = group.pattern
    .split(/<[^>]*>|[…*{}]/)
    .map((part) => part.trim())
    .sort((one, other) => other.length - one.length)[0]
  const text = fixed && fixed.length > 3 ? fixed : group.name
  const names = [...new Set(group.jobs.map((job) => job.name))].slice(0, 8)
  return `state:failed${names.length > 0 ? ` name:${names.map(quoteValue).join(",")}` : ""} error:${quoteValue(text)}`
}

export default function ErrorGroupPage({ params }: { params: Record<string, string> }) {
  const may = useMay()
  const [retry, setRetry] = useState(false)
  const data = useQuery({
    queryKey: ["error", params.fingerprint],
    queryFn: () => getGroup(params.fingerprint!),
    refetchInterval: 10_000,
  })
  const group = data.data
  return (
    <Page
      title={group ? <span className="bad">{group.name}</span> : "Error"}
      actions={
        group && (
          <>
            {may("errors:write") && <Triage group={group} large />}
            {may("jobs:retry") && (
              <Button icon="retry" kind="primary" onClick={() => setRetry(true)}>
                Retry the failed jobs
              </Button>
            )}
          </>
        )
      }
    >
      <Await of={data}>
        {(loaded) => (
          <>
            <p className="message">{loaded.message}</p>
            <p className="row meta">
              <Link className="link" to={jobsAt(searchOf(loaded))}>
                {plural(loaded.count, "time")}
              </Link>
              <span>
                first <Ago at={loaded.firstSeen} />
              </span>
              <span>
                last <Ago at={loaded.lastSeen} />
              </span>
              {loaded.reopenedAt && (
                <span>
                  came back <Ago at={loaded.reopenedAt} />
                </span>
              )}
            </p>
            <Card title="By hour, two days">
              <StackedBars label="Failures by hour" stacks={hoursOf(loaded)} height={120} />
            </Card>
            <div className="pair">
              <Card title="Where">
                <Code>{loaded.stack ?? loaded.frames.join("\n")}</Code>
              </Card>
              <div className="stack">
                <Card title="Jobs that have it" flush>
                  <Table
                    label="Jobs that have it"
                    rows={loaded.jobs}
                    keyOf={(job) => `${job.queue} ${job.name}`}
                    cols={[
                      {
                        title: "Job",
                        cell: (job) => <Link to={jobsAt(`state:failed name:${quoteValue(job.name)}`)}>{job.name}</Link>,
                      },
                      { title: "Queue", cell: (job) => job.queue },
                      { title: "Times", right: true, cell: (job) => number(job.count) },
                    ]}
                  />
                </Card>
                <Card title="The newest" flush>
                  <ul className="lines-list">
                    {loaded.samples.slice(0, 8).map((sample) => (
                      <li key={`${sample.id} ${sample.attempt}`}>
                        <Link to={jobAt(sample.id)}>
                          <span className="mono cut">{sample.id}</span>
                          <span className="meta">attempt {sample.attempt}</span>
                          <span className="muted num">
                            <Ago at={sample.at} />
                          </span>
                        </Link>
                      </li>
                    ))}
                  </ul>
                </Card>
              </div>
            </div>
            {retry && (
              <BulkDialog
                action="retry"
                target={{ q: searchOf(loaded) }}
                onClose={() => setRetry(false)}
                onDone={() => void data.refetch()}
              />
            )}
          </>
        )}
      </Await>
    </Page>
  )
}

const hour = 3_600_000

function hoursOf({ hours }: ErrorDetails): Stack[] {
  const counts = new Map(hours.map((one) => [Math.floor(Date.parse(one.hour) / hour), one.count]))
  const last = Math.floor(Date.now() / hour)
  return Array.from({ length: 48 }, (_, index) => {
    const at = last - 47 + index
    return { at: new Date(at * hour).toISOString(), values: { failed: counts.get(at) ?? 0 } }
  })
}
