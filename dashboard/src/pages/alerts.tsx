import { useQuery } from "@tanstack/react-query"
import { acknowledge, listAlerts, listRules, silence, type AlertEvent, type AlertRule } from "../api/alerts.ts"
import { useHas, useMay, useMeta } from "../api/meta.ts"
import { Button } from "../ui/button.tsx"
import { Empty, SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Menu } from "../ui/menu.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

export default function AlertsPage() {
  return useHas()("alerts") ? (
    <Alerts />
  ) : (
    <Page title="Alerts">
      <SwitchOn plugin="alerts" />
    </Page>
  )
}

function Alerts() {
  const events = useQuery({ queryKey: ["alerts"], queryFn: () => listAlerts(), refetchInterval: 5_000 })
  const rules = useQuery({ queryKey: ["alert-rules"], queryFn: listRules, refetchInterval: 15_000 })
  return (
    <Page title="Alerts">
      <Await of={events}>
        {({ events: all }) => (
          <Card title="What happened" flush>
            {all.length === 0 ? (
              <Empty title="Nothing has been wrong">Rules look every few seconds, on the worker that leads.</Empty>
            ) : (
              <Events events={all} />
            )}
          </Card>
        )}
      </Await>
      <Await of={rules}>
        {(all) => (
          <Card title="Rules" flush>
            <Rules rules={all} />
          </Card>
        )}
      </Await>
    </Page>
  )
}

function Events({ events }: { events: readonly AlertEvent[] }) {
  const may = useMay()
  const { visitor } = useMeta()
  const cols: Col<AlertEvent>[] = [
    {
      title: "State",
      cell: (event) => (
        <WordBadge word={event.acknowledgedAt && event.state === "firing" ? "acknowledged" : event.state} />
      ),
    },
    { title: "What", cell: (event) => event.text },
    { title: "Rule", wide: true, cell: (event) => <span className="tag">{event.rule}</span> },
    {
      title: "Severity",
      wide: true,
      cell: (event) => <span className={event.severity === "critical" ? "bad" : "muted"}>{event.severity}</span>,
    },
    { title: "Began", right: true, cell: (event) => <Ago at={event.beganAt} /> },
    { title: "Over", right: true, wide: true, cell: (event) => <Ago at={event.resolvedAt} /> },
    {
      title: "Do",
      right: true,
      cell: (event) =>
        event.acknowledgedBy ? (
          <span className="meta">seen by {event.acknowledgedBy}</span>
        ) : may("alerts:write") && event.state !== "resolved" ? (
          <Button
            small
            kind="ghost"
            onClick={() => void run(() => acknowledge(event.id, visitor.name, ""), "Acknowledged.", "alerts")}
          >
            Acknowledge
          </Button>
        ) : null,
    },
  ]
  return <Table label="Alerts" rows={events} cols={cols} keyOf={(event) => event.id} keys />
}

const times = ["1h", "8h", "24h"]

function Rules({ rules }: { rules: readonly AlertRule[] }) {
  const may = useMay()
  const { visitor } = useMeta()
  const set = (rule: string, until: string | null, done: string) =>
    void run(() => silence(rule, until, visitor.name), done, "alert-rules")
  const cols: Col<AlertRule>[] = [
    { title: "Rule", cell: (rule) => <span className="name">{rule.name}</span> },
    { title: "Looks at", cell: (rule) => <span className="muted">{rule.kind}</span> },
    { title: "Severity", wide: true, cell: (rule) => rule.severity },
    {
      title: "State",
      cell: (rule) =>
        rule.silencedUntil ? (
          <span className="row tight">
            <WordBadge word="silenced" />
            <span className="meta">
              ends <Ago at={rule.silencedUntil} />
            </span>
          </span>
        ) : (
          <WordBadge word="active" />
        ),
    },
    {
      title: "Do",
      right: true,
      cell: (rule) =>
        !may("alerts:write") ? null : rule.silencedUntil ? (
          <Button small kind="ghost" onClick={() => set(rule.name, null, "It speaks again.")}>
            End the silence
          </Button>
        ) : (
          <Menu label={`Silence ${rule.name}`} icon="pause">
            {times.map((time) => (
              <li key={time}>
                <button type="button" onClick={() => set(rule.name, `in ${time}`, `Silent for ${time}.`)}>
                  Silence for {time}
                </button>
              </li>
            ))}
          </Menu>
        ),
    },
  ]
  return <Table label="Rules" rows={rules} cols={cols} keyOf={(rule) => rule.name} />
}
