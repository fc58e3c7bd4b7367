import { useQuery } from "@tanstack/react-query"
import { listFlows, type FlowSummary } from "../api/flows.ts"
import { useHas } from "../api/meta.ts"
import { Link, useParam } from "../router.ts"
import { Empty, SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"
import { StateFilter } from "./workflows.tsx"

const code = `const onboarding = defineFlow("onboarding", async (flow, { user }) => {
  await flow.step("welcome", () => mail(user))
  await flow.sleep("1d")
  await flow.step("tips", () => tips(user))
})`

const flowAt = (id: string): string => `/flows/${encodeURIComponent(id)}`

const cols: Col<FlowSummary>[] = [
  {
    title: "Flow",
    cell: (flow) => (
      <Link className="name" to={flowAt(flow.id)}>
        {flow.name}
      </Link>
    ),
  },
  { title: "State", cell: (flow) => <WordBadge word={flow.state} /> },
  { title: "Goes on", right: true, cell: (flow) => <Ago at={flow.wakeAt} /> },
  { title: "Executions", right: true, wide: true, cell: (flow) => flow.executions },
  { title: "Queue", wide: true, cell: (flow) => flow.queue },
  { title: "Id", wide: true, cell: (flow) => <span className="mono muted">…{flow.id.slice(-8)}</span> },
  { title: "Begun", right: true, cell: (flow) => <Ago at={flow.startedAt} /> },
  { title: "Ended", right: true, wide: true, cell: (flow) => <Ago at={flow.finishedAt} /> },
]

export default function FlowsPage() {
  return useHas()("flow") ? (
    <List />
  ) : (
    <Page title="Flows">
      <SwitchOn plugin="flow" />
    </Page>
  )
}

function List() {
  const state = useParam("state")
  const data = useQuery({
    queryKey: ["flows", state],
    queryFn: () => listFlows(state),
    refetchInterval: 3_000,
    placeholderData: (before) => before,
  })
  return (
    <Page
      title="Flows"
      actions={<StateFilter states={["", "running", "sleeping", "waiting", "failed", "succeeded", "cancelled"]} />}
    >
      <Await of={data}>
        {({ flows }) => (
          <Card flush>
            {flows.length === 0 ? (
              <Empty title={state ? `None is ${state}` : "No flows yet"} code={state ? undefined : code}>
                A flow is a function whose steps are remembered, so that it may wait for days.
              </Empty>
            ) : (
              <Table
                label="Flows"
                rows={flows}
                cols={cols}
                keyOf={(flow) => flow.id}
                to={(flow) => flowAt(flow.id)}
                keys
              />
            )}
          </Card>
        )}
      </Await>
    </Page>
  )
}
