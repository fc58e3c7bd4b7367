import { useQuery } from "@tanstack/react-query"
import { useHas } from "../api/meta.ts"
import { listWorkflows, type WorkflowSummary } from "../api/workflows.ts"
import { Meter } from "../charts/bars.tsx"
import { Link, setParams, useParam } from "../router.ts"
import { Empty, SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { likeState, WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

const code = `const order = workflow("order", (w) => {
  const paid = w.step("charge", charge, { order: w.input })
  w.step("ship", ship, { receipt: paid.result.receipt })
})
await app.plugin("workflow").push(order, 42)`

export const workflowAt = (id: string): string => `/workflows/${encodeURIComponent(id)}`

const filters = ["", "running", "failed", "succeeded", "paused", "cancelled"]

const cols: Col<WorkflowSummary>[] = [
  {
    title: "Workflow",
    cell: (one) => (
      <Link className="name" to={workflowAt(one.id)}>
        {one.name}
      </Link>
    ),
  },
  { title: "State", cell: (one) => <WordBadge word={one.state} /> },
  {
    title: "Steps",
    width: "180px",
    cell: ({ steps, state }) => (
      <span className="use">
        <Meter
          share={steps.ended / Math.max(steps.total, 1)}
          tone={likeState(state)}
          label={`${steps.ended} of ${steps.total}`}
        />
        <span className="num muted">
          {steps.ended}/{steps.total}
        </span>
      </span>
    ),
  },
  { title: "Failed at", wide: true, cell: (one) => <span className="cut cell">{one.failure?.step}</span> },
  { title: "Id", wide: true, cell: (one) => <span className="mono muted">…{one.id.slice(-8)}</span> },
  { title: "Begun", right: true, cell: (one) => <Ago at={one.createdAt} /> },
  { title: "Ended", right: true, wide: true, cell: (one) => <Ago at={one.finishedAt} /> },
]

export default function WorkflowsPage() {
  return useHas()("workflow") ? (
    <List />
  ) : (
    <Page title="Workflows">
      <SwitchOn plugin="workflow" />
    </Page>
  )
}

function List() {
  const state = useParam("state")
  const data = useQuery({
    queryKey: ["workflows", state],
    queryFn: () => listWorkflows(state),
    refetchInterval: 3_000,
    placeholderData: (before) => before,
  })
  return (
    <Page title="Workflows" actions={<StateFilter states={filters} />}>
      <Await of={data}>
        {({ workflows }) => (
          <Card flush>
            {workflows.length === 0 ? (
              <Empty title={state ? `None is ${state}` : "No workflows yet"} code={state ? undefined : code}>
                A workflow is jobs as the steps of a graph.
              </Empty>
            ) : (
              <Table
                label="Workflows"
                rows={workflows}
                cols={cols}
                keyOf={(one) => one.id}
                to={(one) => workflowAt(one.id)}
                keys
              />
            )}
          </Card>
        )}
      </Await>
    </Page>
  )
}

export function StateFilter({ states }: { states: readonly string[] }) {
  const state = useParam("state")
  return (
    <div className="segments" role="group" aria-label="State">
      {states.map((one) => (
        <button
          key={one}
          type="button"
          aria-pressed={one === state}
          onClick={() => setParams({ state: one }, { replace: true })}
        >
          {one || "all"}
        </button>
      ))}
    </div>
  )
}
