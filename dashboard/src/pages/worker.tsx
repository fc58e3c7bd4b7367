import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { useHas } from "../api/meta.ts"
import { getWorker, type WorkerInfo } from "../api/workers.ts"
import { FlowCharts } from "../charts/flow-charts.tsx"
import { useTopics } from "../live/events.ts"
import { jobsAt, Link, queueAt } from "../router.ts"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { WordBadge } from "../ui/state.tsx"
import { Table } from "../ui/table.tsx"
import { Ago, Moment } from "../ui/time.tsx"

export default function WorkerPage({ params }: { params: Record<string, string> }) {
  useTopics("workers")
  const has = useHas()
  const id = params.id!
  const data = useQuery({ queryKey: ["worker", id], queryFn: () => getWorker(id) })
  return (
    <Page
      title={id}
      lead={data.data && <WordBadge word={data.data.alive ? "alive" : "lost"} />}
      actions={
        <Link className="button" to={jobsAt(`state:running worker:${JSON.stringify(id)}`)}>
          Jobs that it runs
        </Link>
      }
    >
      <Await of={data}>
        {(worker) => (
          <>
            {has("metrics") && <FlowCharts worker={id} />}
            <div className="pair">
              <div className="stack">
                <Card title="Handlers">
                  <Words words={worker.handlers} to={(name) => jobsAt(`name:${JSON.stringify(name)}`)} />
                </Card>
                <Card title="Queues">
                  <Words words={worker.queues} to={queueAt} />
                </Card>
                {worker.plugins && worker.plugins.length > 0 && <Plugins worker={worker} />}
              </div>
              <Facts worker={worker} />
            </div>
          </>
        )}
      </Await>
    </Page>
  )
}

function Words({ words, to }: { words: readonly string[]; to: (word: string) => string }) {
  if (words.length === 0) return <p className="muted">None.</p>
  return (
    <span className="row tight">
      {words.map((word) => (
        <Link key={word} className="tag" to={to(word)}>
          {word}
        </Link>
      ))}
    </span>
  )
}

function Plugins({ worker }: { worker: WorkerInfo }) {
  return (
    <Card title="Plugins" flush>
      <Table
        label="Plugins"
        rows={worker.plugins ?? []}
        keyOf={(plugin) => plugin.name}
        cols={[
          { title: "Plugin", cell: (plugin) => plugin.name },
          {
            title: "State",
            cell: (plugin) => <WordBadge word={plugin.state === "degraded" ? "failed" : plugin.state} />,
          },
          { title: "Error", cell: (plugin) => <span className="problem">{plugin.error ?? ""}</span> },
        ]}
      />
    </Card>
  )
}

function Facts({ worker }: { worker: WorkerInfo }) {
  const facts: [string, ReactNode][] = [
    ["Running", worker.running ?? "–"],
    ["Leads", worker.leader ? "yes" : "no"],
    ["Host", worker.hostname],
    ["Process", worker.pid],
    ["Started", <Moment key="s" at={worker.startedAt} />],
    ["Heard of", <Ago key="h" at={worker.seenAt} />],
    ["Lease until", <Ago key="l" at={worker.expiresAt} />],
    [
      "Tags",
      <span key="t" className="row tight">
        {worker.tags.map((tag) => (
          <span key={tag} className="tag">
            {tag}
          </span>
        ))}
      </span>,
    ],
    [
      "Incarnation",
      <span key="i" className="mono">
        {worker.incarnation}
      </span>,
    ],
  ]
  return (
    <Card>
      <dl className="facts">
        {facts.map(([title, value]) => (
          <div key={title} className="fact">
            <dt>{title}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Card>
  )
}
