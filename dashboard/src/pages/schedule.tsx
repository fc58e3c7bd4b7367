import { useQuery } from "@tanstack/react-query"
import { useState, type ReactNode } from "react"
import { useMay } from "../api/meta.ts"
import {
  getSchedule,
  pauseSchedule,
  preview,
  removeSchedule,
  resumeSchedule,
  runSchedule,
  ticks,
  type Schedule,
  type Tick,
} from "../api/schedules.ts"
import { duration, fullTime } from "../format.ts"
import { jobAt, Link, navigate } from "../router.ts"
import { ScheduleDialog } from "../schedules/editor.tsx"
import { Runs } from "../schedules/runs.tsx"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { Json } from "../ui/json.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { Table } from "../ui/table.tsx"
import { Ago, Moment } from "../ui/time.tsx"
import { ScheduleState } from "./schedules.tsx"

const like: Record<Tick["outcome"], string> = {
  pushed: "succeeded",
  duplicate: "pending",
  skipped: "skipped",
  missed: "missed",
}

export default function SchedulePage({ params }: { params: Record<string, string> }) {
  const key = params.key!
  const data = useQuery({ queryKey: ["schedule", key], queryFn: () => getSchedule(key), refetchInterval: 5_000 })
  const history =
    useQuery({ queryKey: ["schedule", key, "ticks"], queryFn: () => ticks(key), refetchInterval: 5_000 }).data ?? []
  return (
    <Page
      title={key}
      lead={data.data && <ScheduleState schedule={data.data} />}
      actions={data.data && <Actions schedule={data.data} />}
    >
      <Await of={data}>
        {(schedule) => (
          <>
            {schedule.problem && (
              <div className="note bad">
                <div>{schedule.problem}</div>
              </div>
            )}
            <div className="pair">
              <div className="stack">
                <Card title="Runs">
                  <Strip ticks={history} />
                </Card>
                {history.length > 0 && (
                  <Card flush>
                    <Table
                      label="Runs"
                      rows={history}
                      keyOf={(tick) => `${tick.at} ${tick.firedAt}`}
                      cols={[
                        { title: "Due", cell: (tick) => <Moment at={tick.at} /> },
                        { title: "Outcome", cell: (tick) => <Outcome tick={tick} /> },
                        {
                          title: "Job",
                          cell: (tick) =>
                            tick.job ? (
                              <Link className="link mono" to={jobAt(tick.job)}>
                                …{tick.job.slice(-8)}
                              </Link>
                            ) : (
                              <span className="muted">–</span>
                            ),
                        },
                      ]}
                    />
                  </Card>
                )}
              </div>
              <div className="stack">
                <Facts schedule={schedule} />
                <Next schedule={schedule} />
                <Card title="Payload">
                  <Json value={schedule.payload} label="Payload" />
                </Card>
              </div>
            </div>
          </>
        )}
      </Await>
    </Page>
  )
}

function Outcome({ tick }: { tick: Tick }) {
  return (
    <span className="row tight">
      <WordBadge
        word={like[tick.outcome] === tick.outcome ? tick.outcome : tick.outcome === "pushed" ? "fired" : tick.outcome}
      />
      {tick.manual && <span className="tag">by hand</span>}
      {tick.missed > 0 && <span className="tag">{tick.missed} missed before</span>}
      {tick.reason && <span className="meta reason">{tick.reason}</span>}
    </span>
  )
}

/** One mark per run, oldest first. */
function Strip({ ticks: all }: { ticks: readonly Tick[] }) {
  if (all.length === 0) return <p className="muted">It has not run yet.</p>
  return (
    <ol className="strip">
      {all.toReversed().map((tick) => (
        <li
          key={`${tick.at} ${tick.firedAt}`}
          className={`s-${like[tick.outcome] === "missed" ? "retrying" : like[tick.outcome] === "skipped" ? "cancelled" : like[tick.outcome]}`}
          title={`${fullTime(tick.at)}: ${tick.outcome}`}
        >
          <span className="sr">{tick.outcome}</span>
        </li>
      ))}
    </ol>
  )
}

function Actions({ schedule }: { schedule: Schedule }) {
  const may = useMay()
  const [open, setOpen] = useState<"edit" | "remove">()
  const { key } = schedule
  if (!may("schedules:write")) return null
  const keys = ["schedule", "schedules"] as const
  return (
    <>
      <Button icon="play" kind="primary" onClick={() => void run(() => runSchedule(key), "Pushed.", ...keys)}>
        Run now
      </Button>
      {schedule.enabled ? (
        <Button icon="pause" onClick={() => void run(() => pauseSchedule(key), "Paused.", ...keys)}>
          Pause
        </Button>
      ) : (
        <Button icon="play" onClick={() => void run(() => resumeSchedule(key), "It goes on.", ...keys)}>
          Resume
        </Button>
      )}
      <Button icon="edit" onClick={() => setOpen("edit")}>
        Edit
      </Button>
      <Button icon="trash" kind="danger" onClick={() => setOpen("remove")}>
        Remove
      </Button>
      {open === "edit" && <ScheduleDialog schedule={schedule} onClose={() => setOpen(undefined)} />}
      {open === "remove" && <Remove schedule={schedule} onClose={() => setOpen(undefined)} />}
    </>
  )
}

function Remove({ schedule: { key }, onClose }: { schedule: Schedule; onClose: () => void }) {
  const remove = () => {
    onClose()
    void run(() => removeSchedule(key), "Removed.", "schedules").then(() => navigate("/schedules"))
  }
  return (
    <Dialog
      title={`Remove ${key}`}
      onClose={onClose}
      onSubmit={remove}
      footer={
        <>
          <Button onClick={onClose}>Keep it</Button>
          <Button kind="danger primary" type="submit">
            Remove {key}
          </Button>
        </>
      }
    >
      <p>Jobs that it has pushed stay. Its history goes.</p>
    </Dialog>
  )
}

function Facts({ schedule }: { schedule: Schedule }) {
  const facts: [string, ReactNode][] = [
    ["When", schedule.description],
    [
      "Expression",
      <code key="c">{schedule.cron ?? (schedule.every === undefined ? "" : `every ${duration(schedule.every)}`)}</code>,
    ],
    ["Zone", schedule.zone],
    ["Job", schedule.job],
    ["Queue", schedule.queue],
    ["Last", <Ago key="l" at={schedule.lastAt} />],
    ["Next", <Ago key="n" at={schedule.nextAt} />],
    ["While one runs", schedule.overlap],
    ["What was missed", schedule.missed],
    ["Declared by", schedule.owner ? `code (${schedule.owner})` : "somebody, at run time"],
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

function Next({ schedule }: { schedule: Schedule }) {
  const timing = schedule.cron !== undefined ? { cron: schedule.cron } : { every: `${schedule.every ?? 0}ms` }
  const { data } = useQuery({
    queryKey: ["schedule", schedule.key, "preview"],
    queryFn: () => preview({ ...timing, zone: schedule.zone, count: 10 }),
    staleTime: 30_000,
  })
  return (
    <Card title="The next ten, were it never paused">
      {data ? <Runs runs={data.runs} /> : <p className="muted"> </p>}
    </Card>
  )
}
