import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { useHas, useMay } from "../api/meta.ts"
import { listSchedules, pauseSchedule, resumeSchedule, runSchedule, type Schedule } from "../api/schedules.ts"
import { jobAt, Link } from "../router.ts"
import { ScheduleDialog } from "../schedules/editor.tsx"
import { Button } from "../ui/button.tsx"
import { Empty, SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

const code = `import { cron, defineSchedule, Millrace } from "millrace"

const schedules = cron({ schedules: [defineSchedule(report, { day: "today" }, { key: "daily-report", cron: "0 9 * * 1-5", zone: "Europe/Paris" })] })
const app = new Millrace({ dsn, plugins: [schedules] })`

export const scheduleAt = (key: string): string => `/schedules/${encodeURIComponent(key)}`

export default function SchedulesPage() {
  return useHas()("cron") ? (
    <List />
  ) : (
    <Page title="Schedules">
      <SwitchOn plugin="cron" />
    </Page>
  )
}

function List() {
  const may = useMay()
  const [make, setMake] = useState(false)
  const data = useQuery({ queryKey: ["schedules"], queryFn: listSchedules, refetchInterval: 5_000 })
  const cols: Col<Schedule>[] = [
    {
      title: "Schedule",
      cell: (one) => (
        <Link className="name" to={scheduleAt(one.key)}>
          {one.key}
        </Link>
      ),
    },
    { title: "State", cell: (one) => <ScheduleState schedule={one} /> },
    { title: "When", wide: true, cell: (one) => <span title={one.cron}>{one.description}</span> },
    { title: "Job", wide: true, cell: (one) => <span className="muted">{one.job}</span> },
    {
      title: "Last",
      right: true,
      wide: true,
      cell: (one) =>
        one.lastJob ? (
          <Link to={jobAt(one.lastJob)}>
            <Ago at={one.lastAt} />
          </Link>
        ) : (
          <Ago at={one.lastAt} />
        ),
    },
    { title: "Next", right: true, cell: (one) => <Ago at={one.nextAt} /> },
    { title: "Do", right: true, wide: true, cell: (one) => (may("schedules:write") ? <Quick schedule={one} /> : null) },
  ]
  return (
    <Page
      title="Schedules"
      actions={
        may("schedules:write") && (
          <Button icon="plus" onClick={() => setMake(true)}>
            New schedule
          </Button>
        )
      }
    >
      <Await of={data}>
        {(schedules) => (
          <Card flush>
            {schedules.length === 0 ? (
              <Empty title="No schedules yet" code={code}>
                A schedule pushes a job at its times, once in the whole cluster.
              </Empty>
            ) : (
              <Table
                label="Schedules"
                rows={schedules}
                cols={cols}
                keyOf={(one) => one.key}
                to={(one) => scheduleAt(one.key)}
                keys
              />
            )}
          </Card>
        )}
      </Await>
      {make && <ScheduleDialog onClose={() => setMake(false)} />}
    </Page>
  )
}

export function ScheduleState({ schedule }: { schedule: Schedule }) {
  if (schedule.problem) return <WordBadge word="failed" />
  return <WordBadge word={schedule.enabled ? "active" : "paused"} />
}

function Quick({ schedule }: { schedule: Schedule }) {
  const { key } = schedule
  return (
    <span className="row tight">
      <Button small kind="ghost" onClick={() => void run(() => runSchedule(key), "Pushed.", "schedules")}>
        Run now
      </Button>
      {schedule.enabled ? (
        <Button small kind="ghost" onClick={() => void run(() => pauseSchedule(key), "Paused.", "schedules")}>
          Pause
        </Button>
      ) : (
        <Button small kind="ghost" onClick={() => void run(() => resumeSchedule(key), "It goes on.", "schedules")}>
          Resume
        </Button>
      )}
    </span>
  )
}
