import { useQuery } from "@tanstack/react-query"
import { useState, type ReactNode } from "react"
import { useHas, useMay } from "../api/meta.ts"
import { editQueue, getQueue, pauseQueue, resumeQueue, type Queue } from "../api/queues.ts"
import { queryClient } from "../api/client.ts"
import { FlowCharts } from "../charts/flow-charts.tsx"
import { bytes, compact, duration } from "../format.ts"
import { useTopics } from "../live/events.ts"
import { QueueState } from "../queues/table.tsx"
import { jobsAt, Link } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { Await } from "../ui/loading.tsx"
import { Menu } from "../ui/menu.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { say } from "../ui/toast.tsx"

export default function QueuePage({ params }: { params: Record<string, string> }) {
  const name = params.name!
  const has = useHas()
  useTopics("queues")
  const data = useQuery({ queryKey: ["queue", name], queryFn: () => getQueue(name) })
  return (
    <Page
      title={name}
      lead={data.data && <QueueState queue={data.data} />}
      actions={data.data && <Actions queue={data.data} />}
    >
      <Await of={data}>
        {(queue) => (
          <>
            {!queue.served && queue.waiting.value > 0 && (
              <div className="note bad">
                <div>
                  No live worker serves this queue. Its tags are{" "}
                  <code className="tag">{queue.tags.join(" ") || "(none)"}</code>; a worker runs it when one of them
                  matches one of its own.
                </div>
              </div>
            )}
            <Counts queue={queue} />
            {has("metrics") && <FlowCharts queue={name} />}
            <div className="pair">
              <Limits queue={queue} />
              <Card title="Workers" flush>
                <ul className="lines-list">
                  {queue.workers.map((worker) => (
                    <li key={worker}>
                      <Link to={`/workers/${encodeURIComponent(worker)}`} className="mono">
                        {worker}
                      </Link>
                    </li>
                  ))}
                  {queue.workers.length === 0 && <li className="body muted">None.</li>}
                </ul>
              </Card>
            </div>
          </>
        )}
      </Await>
    </Page>
  )
}

function Counts({ queue }: { queue: Queue }) {
  return (
    <ul className="row">
      {["running", "pending", "scheduled", "retrying", "blocked"].map((state) => (
        <li key={state}>
          <Link className="chip" to={jobsAt(`state:${state} queue:${queue.name}`)}>
            <WordBadge word={state} />
            <b>
              {compact(queue.counts[state]?.value ?? 0)}
              {queue.counts[state]?.capped && "+"}
            </b>
          </Link>
        </li>
      ))}
      <li>
        <Link className="chip" to={jobsAt(`state:failed queue:${queue.name}`)}>
          <WordBadge word="failed" />
        </Link>
      </li>
    </ul>
  )
}

const pauses = ["10m", "1h", "24h"]

function Actions({ queue }: { queue: Queue }) {
  const may = useMay()
  const [edit, setEdit] = useState(false)
  const { name } = queue
  const pause = (time?: string) =>
    void run(
      () => pauseQueue(name, time && `in ${time}`),
      time ? `Paused for ${time}.` : "Paused.",
      "queue",
      "queues",
      "overview",
    )
  return (
    <>
      {may("queues:pause") &&
        (queue.paused ? (
          <Button
            icon="play"
            kind="primary"
            onClick={() => void run(() => resumeQueue(name), "It goes on.", "queue", "queues", "overview")}
          >
            Resume
          </Button>
        ) : (
          <>
            <Button icon="pause" onClick={() => pause()}>
              Pause
            </Button>
            <Menu label="Pause for a while" icon="clock">
              {pauses.map((time) => (
                <li key={time}>
                  <button type="button" onClick={() => pause(time)}>
                    Pause for {time}
                  </button>
                </li>
              ))}
            </Menu>
          </>
        ))}
      {may("queues:edit") && (
        <Button icon="edit" onClick={() => setEdit(true)}>
          Limits
        </Button>
      )}
      {edit && <LimitsDialog queue={queue} onClose={() => setEdit(false)} />}
    </>
  )
}

function Limits({ queue }: { queue: Queue }) {
  const facts: [string, ReactNode][] = [
    ["At a time, per worker", queue.concurrency ?? "the executor’s default"],
    ["Executor", queue.executor],
    ["Time limit", queue.timeout === null ? "none" : duration(queue.timeout)],
    ["Memory limit", queue.memoryLimit === null ? "none" : bytes(queue.memoryLimit)],
    ["Worker tags", queue.tags.join(", ") || "none: nobody runs it"],
    ["Looks by itself", `every ${duration(queue.pollInterval)}`],
    ["Revision", queue.revision],
  ]
  return (
    <Card title="Limits">
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

function LimitsDialog({ queue, onClose }: { queue: Queue; onClose: () => void }) {
  const [concurrency, setConcurrency] = useState(String(queue.concurrency ?? ""))
  const [timeout, setTimeout] = useState(queue.timeout === null ? "" : `${queue.timeout}ms`)
  const [tags, setTags] = useState(queue.tags.join(", "))
  const [error, setError] = useState<unknown>()
  const save = async () => {
    try {
      await editQueue(queue.name, {
        concurrency: concurrency === "" ? null : Number(concurrency),
        timeout: timeout === "" ? null : timeout,
        tags: tags
          .split(",")
          .map((tag) => tag.trim())
          .filter(Boolean),
      })
      say("Saved. Workers follow within moments.")
      await queryClient.invalidateQueries({ queryKey: ["queue"] })
      onClose()
    } catch (thrown) {
      setError(thrown)
    }
  }
  return (
    <Dialog
      title={`Limits of ${queue.name}`}
      onClose={onClose}
      onSubmit={() => void save()}
      error={error}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit">
            Save
          </Button>
        </>
      }
    >
      <label className="field">
        <span>Jobs at a time, per worker</span>
        <input
          autoFocus
          type="number"
          min="1"
          value={concurrency}
          onChange={(event) => setConcurrency(event.target.value)}
        />
        <small>Empty: the executor’s default.</small>
      </label>
      <label className="field">
        <span>Time limit of one attempt</span>
        <input placeholder="none, or 30s" value={timeout} onChange={(event) => setTimeout(event.target.value)} />
      </label>
      <label className="field">
        <span>Worker tags</span>
        <input value={tags} onChange={(event) => setTags(event.target.value)} />
        <small>Globs, with commas between them.</small>
      </label>
    </Dialog>
  )
}
