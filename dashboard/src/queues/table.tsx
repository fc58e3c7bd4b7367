import { useQuery } from "@tanstack/react-query"
import { useHas } from "../api/meta.ts"
import { metricsNow } from "../api/metrics.ts"
import type { Queue } from "../api/queues.ts"
import { Meter } from "../charts/bars.tsx"
import { compact, duration, rate } from "../format.ts"
import { jobsAt, Link, queueAt } from "../router.ts"
import { StateBadge, WordBadge } from "../ui/state.tsx"
import { Table, type Col } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

const countOf = (queue: Queue, state: string) => queue.counts[state] ?? { value: 0, capped: false }

function Count({ queue, state }: { queue: Queue; state: string }) {
  const { value, capped } = countOf(queue, state)
  if (value === 0) return <span className="muted">0</span>
  return (
    <Link to={jobsAt(`state:${state} queue:${queue.name}`)}>
      {compact(value)}
      {capped && "+"}
    </Link>
  )
}

export function QueueState({ queue }: { queue: Queue }) {
  if (queue.paused) {
    return (
      <span className="row tight">
        <WordBadge word="paused" />
        {queue.resumeAt && (
          <span className="meta">
            until <Ago at={queue.resumeAt} />
          </span>
        )}
      </span>
    )
  }
  if (!queue.served) return <StateBadge state={queue.waiting.value > 0 ? "failed" : "pending"} word="no worker" />
  return <WordBadge word="active" />
}

/** How long until it is empty, at the pace of the last minutes. */
export function drainOf(waiting: number, perSecond: number | undefined): string {
  if (waiting === 0) return "–"
  if (!perSecond) return "not moving"
  return duration((waiting / perSecond) * 1_000)
}

export function QueueTable({
  queues,
  short = false,
  keys = false,
}: {
  queues: readonly Queue[]
  short?: boolean
  keys?: boolean
}) {
  const has = useHas()
  const { data: now } = useQuery({
    queryKey: ["metrics", "now"],
    queryFn: metricsNow,
    enabled: has("metrics"),
    refetchInterval: 5_000,
  })
  const flow = new Map((now?.queues ?? []).map((one) => [one.queue, one]))
  const cols: Col<Queue>[] = [
    {
      title: "Queue",
      cell: (queue) => (
        <Link className="name" to={queueAt(queue.name)}>
          {queue.name}
        </Link>
      ),
    },
    { title: "State", cell: (queue) => <QueueState queue={queue} /> },
    {
      title: "In use",
      wide: true,
      width: "150px",
      cell: (queue) => <Use queue={queue} measured={flow.get(queue.name)?.slots} />,
    },
    { title: "Pending", right: true, cell: (queue) => <Count queue={queue} state="pending" /> },
    {
      title: "Oldest",
      right: true,
      cell: (queue) => (queue.oldestReadyMs ? duration(queue.oldestReadyMs) : <span className="muted">–</span>),
    },
    { title: "Later", right: true, wide: true, cell: (queue) => <Later queue={queue} /> },
  ]
  if (has("metrics")) {
    cols.push(
      { title: "Per second", right: true, wide: true, cell: (queue) => rate(flow.get(queue.name)?.perSecond ?? 0) },
      {
        title: "Empty in",
        right: true,
        wide: true,
        cell: (queue) => (
          <span className="muted">{drainOf(countOf(queue, "pending").value, flow.get(queue.name)?.perSecond)}</span>
        ),
      },
    )
  }
  if (!short) {
    cols.push({ title: "Executor", wide: true, cell: (queue) => <span className="muted">{queue.executor}</span> })
    cols.push({ title: "Workers", right: true, wide: true, cell: (queue) => queue.workers.length })
  }
  return (
    <Table
      label="Queues"
      rows={queues}
      cols={cols}
      keyOf={(queue) => queue.name}
      to={(queue) => queueAt(queue.name)}
      keys={keys}
    />
  )
}

/** Slots as the queue limits them, or as workers measure them. */
function Use({ queue, measured }: { queue: Queue; measured: number | undefined }) {
  const running = countOf(queue, "running").value
  const slots = queue.slots ?? (measured || undefined)
  if (slots === undefined) return <span className="num muted">{running} running</span>
  const share = slots === 0 ? 0 : running / slots
  const text = `${running}/${slots}`
  return (
    <span className="use">
      <Meter share={share} tone={share >= 1 ? "retrying" : "running"} label={`${text} in use`} />
      <span className="num muted">{text}</span>
    </span>
  )
}

function Later({ queue }: { queue: Queue }) {
  const states = ["scheduled", "retrying", "blocked"].filter((state) => countOf(queue, state).value > 0)
  const sum = states.reduce((total, state) => total + countOf(queue, state).value, 0)
  if (sum === 0) return <span className="muted">0</span>
  return <Link to={jobsAt(`state:${states.join(",")} queue:${queue.name}`)}>{compact(sum)}</Link>
}
