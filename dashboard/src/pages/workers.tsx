import { useQuery } from "@tanstack/react-query"
import { listWorkers, type WorkerInfo } from "../api/workers.ts"
import { useTopics } from "../live/events.ts"
import { jobsAt, Link } from "../router.ts"
import { Empty } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

const code = `import { Worker } from "millrace/worker"

const worker = new Worker(app, { handlers: [greet.handler(async ({ name }) => console.log(name))] })
await worker.run()`

const workerAt = (id: string): string => `/workers/${encodeURIComponent(id)}`

const cols: Col<WorkerInfo>[] = [
  {
    title: "Worker",
    cell: (worker) => (
      <Link className="name" to={workerAt(worker.id)}>
        {worker.id}
      </Link>
    ),
  },
  {
    title: "State",
    cell: (worker) => (
      <span className="row tight">
        <WordBadge word={worker.alive ? "alive" : "lost"} />
        {worker.leader && <span className="tag">leads</span>}
      </span>
    ),
  },
  {
    title: "Running",
    right: true,
    cell: (worker) => (
      <Link to={jobsAt(`state:running worker:${JSON.stringify(worker.id)}`)}>{worker.running ?? "–"}</Link>
    ),
  },
  {
    title: "Host",
    wide: true,
    cell: (worker) => (
      <span className="muted">
        {worker.hostname}, pid {worker.pid}
      </span>
    ),
  },
  { title: "Queues", wide: true, cell: (worker) => <span className="cut cell">{worker.queues.join(", ")}</span> },
  { title: "Up since", right: true, wide: true, cell: (worker) => <Ago at={worker.startedAt} /> },
  { title: "Heard of", right: true, cell: (worker) => <Ago at={worker.seenAt} /> },
]

export default function WorkersPage() {
  useTopics("workers")
  const data = useQuery({ queryKey: ["workers"], queryFn: listWorkers })
  return (
    <Page title="Workers">
      <Await of={data}>
        {(workers) => (
          <Card flush>
            {workers.length === 0 ? (
              <Empty title="No worker is there" code={code}>
                Jobs wait until one starts.
              </Empty>
            ) : (
              <Table
                label="Workers"
                rows={workers}
                cols={cols}
                keyOf={(worker) => worker.incarnation}
                to={(worker) => workerAt(worker.id)}
                keys
              />
            )}
          </Card>
        )}
      </Await>
    </Page>
  )
}
