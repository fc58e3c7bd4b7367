import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { cancelFlow, getFlow, resumeFlow, signalFlow, type Flow, type FlowStep } from "../api/flows.ts"
import { useMay } from "../api/meta.ts"
import { Gantt } from "../graph/gantt.tsx"
import { jobAt, Link } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Code } from "../ui/copy.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { JsonField, readJson } from "../ui/json-field.tsx"
import { Json } from "../ui/json.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago, Moment } from "../ui/time.tsx"

const final = ["succeeded", "failed", "cancelled"]

export default function FlowPage({ params }: { params: Record<string, string> }) {
  const id = params.id!
  const [chosen, setChosen] = useState<string>()
  const data = useQuery({
    queryKey: ["flow", id],
    queryFn: () => getFlow(id),
    refetchInterval: ({ state }) => (state.data && final.includes(state.data.state) ? 15_000 : 1_500),
  })
  return (
    <Page
      title={data.data?.name ?? "Flow"}
      lead={data.data && <WordBadge word={data.data.state} solid />}
      actions={data.data && <Actions flow={data.data} />}
    >
      <Await of={data}>
        {(flow) => (
          <>
            <p className="row meta">
              <Link className="link mono" to={jobAt(flow.id)}>
                {flow.id}
              </Link>
              <span>
                begun <Moment at={flow.startedAt} />
              </span>
              {flow.wakeAt && (
                <span>
                  goes on <Ago at={flow.wakeAt} />
                </span>
              )}
            </p>
            {flow.error && (
              <Code label="Copy the error">{flow.error.stack ?? `${flow.error.name}: ${flow.error.message}`}</Code>
            )}
            <Card title="What ran when">
              <Gantt
                bars={flow.steps.map((step) => ({
                  key: step.key,
                  state: step.status,
                  start: step.startedAt,
                  end: step.finishedAt,
                }))}
                chosen={chosen}
                onChoose={setChosen}
              />
            </Card>
            <Card title="Steps" flush>
              <Table label="Steps" rows={flow.steps} cols={cols} keyOf={(step) => step.key} />
            </Card>
            {flow.steps
              .filter((step) => step.key === chosen)
              .map((step) => (
                <Card key={step.key} title={step.key}>
                  <Json value={step.value ?? step.error} label={`Value of ${step.key}`} />
                </Card>
              ))}
            {flow.result !== undefined && (
              <Card title="Result">
                <Json value={flow.result} label="Result" />
              </Card>
            )}
          </>
        )}
      </Await>
    </Page>
  )
}

const cols: Col<FlowStep>[] = [
  { title: "Step", cell: (step) => <span className="name">{step.key}</span> },
  { title: "State", cell: (step) => <WordBadge word={step.status} /> },
  { title: "Kind", wide: true, cell: (step) => <span className="muted">{step.kind}</span> },
  {
    title: "Waits for",
    wide: true,
    cell: (step) =>
      step.job ? (
        <Link className="link mono" to={jobAt(step.job)}>
          …{step.job.slice(-8)}
        </Link>
      ) : (
        step.name
      ),
  },
  { title: "Until", right: true, wide: true, cell: (step) => <Ago at={step.until} /> },
  { title: "Attempts", right: true, wide: true, cell: (step) => step.attempts },
  { title: "Ended", right: true, cell: (step) => <Ago at={step.finishedAt} /> },
]

function Actions({ flow }: { flow: Flow }) {
  const may = useMay()
  const [signal, setSignal] = useState(false)
  if (!may("workflows:write")) return null
  const over = final.includes(flow.state)
  return (
    <>
      {!over && (
        <Button onClick={() => setSignal(true)} icon="flows">
          Send a signal
        </Button>
      )}
      {over && flow.state !== "succeeded" && (
        <Button
          kind="primary"
          icon="retry"
          onClick={() => void run(() => resumeFlow(flow.id), "It goes on from its last step.", "flow")}
        >
          Resume
        </Button>
      )}
      {!over && (
        <Button
          kind="danger"
          icon="stop"
          onClick={() => void run(() => cancelFlow(flow.id), "It is being cancelled.", "flow")}
        >
          Cancel
        </Button>
      )}
      {signal && <SignalDialog flow={flow} onClose={() => setSignal(false)} />}
    </>
  )
}

function SignalDialog({ flow, onClose }: { flow: Flow; onClose: () => void }) {
  const [name, setName] = useState(flow.waitingFor.find((step) => step.kind === "signal")?.name ?? "")
  const [payload, setPayload] = useState("{}")
  const parsed = readJson(payload)
  const send = () => {
    if ("problem" in parsed || name.trim() === "") return
    onClose()
    void run(() => signalFlow(flow.id, name.trim(), parsed.value), "Sent.", "flow")
  }
  return (
    <Dialog
      title={`A signal for ${flow.name}`}
      onClose={onClose}
      onSubmit={send}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={"problem" in parsed || name.trim() === ""}>
            Send
          </Button>
        </>
      }
    >
      <label className="field">
        <span>Name</span>
        <input autoFocus value={name} onChange={(event) => setName(event.target.value)} />
      </label>
      <JsonField label="Payload" value={payload} onChange={setPayload} />
    </Dialog>
  )
}
