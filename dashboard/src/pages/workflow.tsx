import { useQuery } from "@tanstack/react-query"
import { useMemo, type ReactNode } from "react"
import { useMay } from "../api/meta.ts"
import { actOnWorkflow, getWorkflow, type Step, type Workflow, type WorkflowAction } from "../api/workflows.ts"
import { duration } from "../format.ts"
import { Gantt } from "../graph/gantt.tsx"
import { Graph } from "../graph/graph.tsx"
import { jobAt, Link, setParams, useParam } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Code } from "../ui/copy.tsx"
import { Json } from "../ui/json.tsx"
import { Await } from "../ui/loading.tsx"
import { Menu } from "../ui/menu.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Moment } from "../ui/time.tsx"

const views = ["graph", "timeline", "table"] as const
const final = ["succeeded", "failed", "cancelled"]

export default function WorkflowPage({ params }: { params: Record<string, string> }) {
  const id = params.id!
  const view = useParam("view", "graph")
  const data = useQuery({
    queryKey: ["workflow", id],
    queryFn: () => getWorkflow(id),
    refetchInterval: ({ state }) => (state.data && final.includes(state.data.state) ? 15_000 : 1_000),
  })
  return (
    <Page
      title={data.data?.name ?? "Workflow"}
      lead={data.data && <WordBadge word={data.data.state} solid />}
      actions={data.data && <Actions workflow={data.data} />}
    >
      <Await of={data}>
        {(workflow) => (
          <>
            <p className="row meta">
              <span className="mono">{workflow.id}</span>
              <span>
                {workflow.progress.ended} of {workflow.progress.total} steps have ended
              </span>
              <span>
                begun <Moment at={workflow.createdAt} />
              </span>
            </p>
            <div className="segments" role="group" aria-label="View">
              {views.map((one) => (
                <button
                  key={one}
                  type="button"
                  aria-pressed={one === view}
                  onClick={() => setParams({ view: one }, { replace: true })}
                >
                  {one}
                </button>
              ))}
            </div>
            <Steps workflow={workflow} view={view} />
          </>
        )}
      </Await>
    </Page>
  )
}

/** Of a step that is under way, what its job does. */
const wordOf = (step: Step): string => (step.state === "active" ? (step.jobState ?? "running") : step.state)

function Steps({ workflow, view }: { workflow: Workflow; view: string }) {
  const chosen = useParam("step")
  const choose = (key: string) => setParams({ step: key }, { replace: true })
  const { steps } = workflow
  const edges = useMemo(() => steps.flatMap(({ key, needs }) => needs.map((from) => ({ from, to: key }))), [steps])
  const step = steps.find(({ key }) => key === chosen)
  return (
    <div className={step ? "pair wide-left" : ""}>
      <Card flush>
        {view === "graph" && (
          <Graph
            nodes={steps.map((one) => ({ key: one.key, state: wordOf(one), note: noteOf(one) }))}
            edges={edges}
            chosen={chosen || undefined}
            onChoose={choose}
          />
        )}
        {view === "timeline" && (
          <Gantt
            bars={steps.map((one) => ({
              key: one.key,
              state: wordOf(one),
              ready: one.releasedAt,
              start: one.startedAt,
              end: one.finishedAt,
            }))}
            chosen={chosen}
            onChoose={choose}
          />
        )}
        {view === "table" && <Table label="Steps" rows={steps} cols={colsFor(choose)} keyOf={(one) => one.key} />}
      </Card>
      {step && <StepCard workflow={workflow} step={step} />}
    </div>
  )
}

const noteOf = (step: Step): string | undefined => {
  if (step.items) return `${step.items.ended} of ${step.items.total} items`
  if (step.startedAt && step.finishedAt) return duration(Date.parse(step.finishedAt) - Date.parse(step.startedAt))
  return step.kind === "job" ? undefined : step.kind
}

const colsFor = (choose: (key: string) => void): Col<Step>[] => [
  {
    title: "Step",
    cell: (step) => (
      <button type="button" className="plain name" onClick={() => choose(step.key)}>
        {step.key}
      </button>
    ),
  },
  { title: "State", cell: (step) => <WordBadge word={wordOf(step)} /> },
  { title: "After", wide: true, cell: (step) => <span className="muted">{step.needs.join(", ")}</span> },
  { title: "Attempts", right: true, wide: true, cell: (step) => step.attempts },
  { title: "Ran", right: true, cell: (step) => noteOf(step) ?? "–" },
  {
    title: "Job",
    right: true,
    cell: (step) =>
      step.jobId ? (
        <Link className="link mono" to={jobAt(step.jobId)}>
          …{step.jobId.slice(-8)}
        </Link>
      ) : (
        "–"
      ),
  },
]

function StepCard({ workflow, step }: { workflow: Workflow; step: Step }) {
  const may = useMay()
  const facts: [string, ReactNode][] = [
    ["State", <WordBadge key="s" word={wordOf(step)} />],
    ["Kind", step.kind],
    ["After", step.needs.join(", ") || "nothing"],
    ["Attempts", step.attempts],
    ["Released", <Moment key="r" at={step.releasedAt} />],
    ["Started", <Moment key="b" at={step.startedAt} />],
    ["Finished", <Moment key="f" at={step.finishedAt} />],
  ]
  if (step.jobId)
    facts.push([
      "Job",
      <Link key="j" className="link mono" to={jobAt(step.jobId)}>
        {step.jobId}
      </Link>,
    ])
  const error = step.errors.at(-1)
  return (
    <Card
      title={step.key}
      actions={
        <>
          {may("workflows:write") && final.includes(workflow.state) && (
            <Button
              small
              icon="retry"
              onClick={() =>
                void run(
                  () => actOnWorkflow(workflow.id, "retry", { from: step.key }),
                  "It goes on from here.",
                  "workflow",
                )
              }
            >
              Retry from here
            </Button>
          )}
          <Button
            small
            icon="close"
            kind="ghost"
            label="Close"
            onClick={() => setParams({ step: null }, { replace: true })}
          />
        </>
      }
    >
      <div className="stack">
        <dl className="facts">
          {facts.map(([title, value]) => (
            <div key={title} className="fact">
              <dt>{title}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {error && <Code label="Copy the error">{error.stack ?? `${error.name}: ${error.message}`}</Code>}
        {step.result !== undefined && <Json value={step.result} label="Result" />}
      </div>
    </Card>
  )
}

function Actions({ workflow }: { workflow: Workflow }) {
  const may = useMay()
  if (!may("workflows:write")) return null
  const act = (action: WorkflowAction, done: string, body?: Record<string, unknown>) =>
    void run(() => actOnWorkflow(workflow.id, action, body), done, "workflow", "workflows")
  if (final.includes(workflow.state)) {
    const roots = workflow.steps.filter((step) => step.needs.length === 0).map((step) => step.key)
    return (
      <>
        {workflow.state !== "succeeded" && (
          <Button icon="retry" kind="primary" onClick={() => act("retry", "It runs again.")}>
            Retry what failed
          </Button>
        )}
        <Menu label="Other ways to retry">
          <li>
            <button type="button" onClick={() => act("retry", "It runs again, all of it.", { from: roots })}>
              Retry all of it
            </button>
          </li>
        </Menu>
      </>
    )
  }
  return (
    <>
      {workflow.state === "paused" ? (
        <Button icon="play" onClick={() => act("resume", "It goes on.")}>
          Resume
        </Button>
      ) : (
        <Button icon="pause" onClick={() => act("pause", "Paused: what runs ends, nothing new begins.")}>
          Pause
        </Button>
      )}
      <Button icon="stop" kind="danger" onClick={() => act("cancel", "It is being cancelled.")}>
        Cancel
      </Button>
    </>
  )
}
