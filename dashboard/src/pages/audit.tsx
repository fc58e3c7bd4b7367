import { useInfiniteQuery } from "@tanstack/react-query"
import { Fragment, useState } from "react"
import { listAudit, type AuditEntry } from "../api/audit.ts"
import { jobAt, Link, queueAt, setParams, useParam } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Empty } from "../ui/empty.tsx"
import { Json } from "../ui/json.tsx"
import { Problem, Skeleton } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { WordBadge } from "../ui/state.tsx"
import { Moment } from "../ui/time.tsx"

export default function AuditPage() {
  const [visitor, action, target] = [useParam("visitor"), useParam("action"), useParam("target")]
  const data = useInfiniteQuery({
    queryKey: ["audit", visitor, action, target],
    queryFn: ({ pageParam }) => listAudit({ visitor, action, target }, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.cursor ?? undefined,
    refetchInterval: 15_000,
  })
  const entries = data.data?.pages.flatMap((page) => page.entries) ?? []
  const chosen = { visitor, action, target }
  return (
    <Page
      title="Audit"
      actions={Object.entries(chosen)
        .filter(([, value]) => value !== "")
        .map(([name, value]) => (
          <button
            key={name}
            type="button"
            className="chip"
            aria-pressed="true"
            onClick={() => setParams({ [name]: null })}
          >
            {name}: {value}
            <span aria-hidden="true">×</span>
          </button>
        ))}
    >
      {data.error && <Problem error={data.error} retry={() => void data.refetch()} />}
      <Card flush>
        {data.isPending && (
          <div className="body">
            <Skeleton rows={10} />
          </div>
        )}
        {data.data && entries.length === 0 && (
          <Empty title="Nobody has changed anything yet">
            Every write is kept here, with what was before and after.
          </Empty>
        )}
        {entries.length > 0 && <Entries entries={entries} />}
      </Card>
      {data.hasNextPage && <Button onClick={() => void data.fetchNextPage()}>Older</Button>}
    </Page>
  )
}

function Entries({ entries }: { entries: readonly AuditEntry[] }) {
  const [open, setOpen] = useState<string>()
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Entries">
      <table aria-label="Entries">
        <thead>
          <tr>
            <th>When</th>
            <th>Who</th>
            <th>What</th>
            <th>About</th>
            <th>Outcome</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <Fragment key={entry.id}>
              <tr>
                <td>
                  <button
                    type="button"
                    className="expand"
                    aria-expanded={open === entry.id}
                    onClick={() => setOpen(open === entry.id ? undefined : entry.id)}
                  >
                    <Moment at={entry.at} />
                  </button>
                </td>
                <td>
                  <button type="button" className="plain" onClick={() => setParams({ visitor: entry.visitor })}>
                    {entry.visitor}
                  </button>
                </td>
                <td>
                  <button type="button" className="plain mono" onClick={() => setParams({ action: entry.action })}>
                    {entry.action}
                  </button>
                </td>
                <td>
                  <Target entry={entry} />
                </td>
                <td>
                  <Outcome status={entry.status} />
                </td>
              </tr>
              {open === entry.id && (
                <tr>
                  <td colSpan={5} className="details">
                    <div className="pair">
                      <div>
                        <h2>Before</h2>
                        <Json value={entry.before ?? undefined} label="Before" />
                      </div>
                      <div>
                        <h2>After</h2>
                        <Json value={entry.after ?? undefined} label="After" />
                      </div>
                    </div>
                  </td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Outcome({ status }: { status: number | null }) {
  if (status === null) return <WordBadge word="pending" />
  return (
    <span className="row tight">
      <WordBadge word={status < 400 ? "done" : "failed"} />
      <span className="meta">{status}</span>
    </span>
  )
}

function Target({ entry: { target, action } }: { entry: AuditEntry }) {
  if (target === null) return <span className="muted">–</span>
  if (action.includes("/jobs/"))
    return (
      <Link className="link mono" to={jobAt(target)}>
        {target}
      </Link>
    )
  if (action.includes("/queues/"))
    return (
      <Link className="link" to={queueAt(target)}>
        {target}
      </Link>
    )
  return <span className="mono">{target}</span>
}
