import { useQuery } from "@tanstack/react-query"
import { useHas, useMeta } from "../api/meta.ts"
import { databaseHealth, type DatabaseHealth, type TableHealth } from "../api/metrics.ts"
import { Meter } from "../charts/bars.tsx"
import { bytes, compact, duration, percent } from "../format.ts"
import { SwitchOn } from "../ui/empty.tsx"
import { Await } from "../ui/loading.tsx"
import { Card, Page } from "../ui/page.tsx"
import { WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

export default function DatabasePage() {
  const has = useHas()
  const { schema } = useMeta()
  return (
    <Page
      title="Database"
      lead={
        <span className="meta">
          schema {schema.name}, version {schema.current} of {schema.needed}
        </span>
      }
    >
      {schema.current < schema.needed && (
        <div className="note bad">
          <div>
            The tables are older than this release needs: run <code>millrace migrate</code>.
          </div>
        </div>
      )}
      {has("metrics") ? <Health /> : <SwitchOn plugin="metrics" />}
    </Page>
  )
}

function Health() {
  const data = useQuery({ queryKey: ["database"], queryFn: databaseHealth, refetchInterval: 5_000 })
  return (
    <Await of={data}>
      {(health) => (
        <>
          <Checks health={health} />
          <Card title="Tables" flush>
            <Table
              label="Tables"
              rows={[...health.tables].sort((one, other) => other.bytes - one.bytes)}
              cols={cols}
              keyOf={(table) => table.table}
            />
          </Card>
        </>
      )}
    </Await>
  )
}

const deadShare = (table: TableHealth): number => table.deadRows / Math.max(table.rows + table.deadRows, 1)

const cols: Col<TableHealth>[] = [
  { title: "Table", cell: (table) => <span className="mono">{table.table}</span> },
  { title: "Rows, about", right: true, cell: (table) => compact(table.rows) },
  { title: "Size", right: true, cell: (table) => bytes(table.bytes) },
  { title: "Indexes", right: true, wide: true, cell: (table) => bytes(table.indexBytes) },
  { title: "Dead rows", right: true, cell: (table) => compact(table.deadRows) },
  {
    title: "Share",
    wide: true,
    width: "140px",
    cell: (table) => (
      <Meter
        share={deadShare(table)}
        tone={deadShare(table) > 0.3 ? "retrying" : "running"}
        label={`${percent(deadShare(table))} dead`}
      />
    ),
  },
  { title: "Vacuumed", right: true, wide: true, cell: (table) => <Ago at={table.vacuumedAt} fallback="never" /> },
]

interface Check {
  title: string
  fine: boolean
  value: string
  text: string
}

function checksOf({
  oldestTransaction: oldest,
  notificationQueue,
  connections,
  tables,
  version,
}: DatabaseHealth): Check[] {
  const used = connections.all / connections.most
  const worst = tables
    .filter((table) => table.deadRows > 10_000)
    .sort((one, other) => deadShare(other) - deadShare(one))[0]
  const dead = worst ? deadShare(worst) : 0
  return [
    {
      title: "Oldest transaction",
      fine: (oldest?.age ?? 0) < 60,
      value: oldest ? duration(oldest.age * 1_000) : "none",
      text:
        oldest && oldest.age >= 60
          ? `pid ${oldest.pid} (${oldest.application || "unnamed"}, ${oldest.state}) keeps vacuum from taking dead rows away.`
          : "Vacuum is not held up.",
    },
    {
      title: "Notification queue",
      fine: notificationQueue < 0.5,
      value: percent(notificationQueue),
      text:
        notificationQueue < 0.5
          ? "Notifications are read as they come."
          : "A session listens and does not read; at 100 % every commit that notifies fails.",
    },
    {
      title: "Connections",
      fine: used < 0.85,
      value: `${connections.all} of ${connections.most}`,
      text: Object.entries(connections.states)
        .map(([state, count]) => `${count} ${state}`)
        .join(", "),
    },
    {
      title: "Dead rows",
      fine: dead < 0.5,
      value: worst ? percent(dead) : "few",
      text: worst ? `of ${worst.table}.` : "No table has many.",
    },
    { title: "Server", fine: true, value: version, text: "PostgreSQL" },
  ]
}

function Checks({ health }: { health: DatabaseHealth }) {
  return (
    <div className="figures-row">
      {checksOf(health).map(({ title, fine, value, text }) => (
        <div key={title} className="figure-card fixed-card">
          <span className="row tight meta">
            <WordBadge word={fine ? "ok" : "failed"} />
          </span>
          <span className="meta">{title}</span>
          <span className="figure">{value}</span>
          <span className="meta">{text}</span>
        </div>
      ))}
    </div>
  )
}
