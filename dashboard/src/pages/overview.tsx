import { useQuery } from "@tanstack/react-query"
import type { ReactNode } from "react"
import { listGroups } from "../api/errors.ts"
import { useHas, useMeta } from "../api/meta.ts"
import { queryMetrics, type MetricsResult } from "../api/metrics.ts"
import { overview, type Overview } from "../api/overview.ts"
import { listWorkers } from "../api/workers.ts"
import { Spark, StackedBars } from "../charts/bars.tsx"
import { find, stacksOf, valuesOf } from "../charts/outcomes.ts"
import { compact, duration, number, percent, rate } from "../format.ts"
import { useTopics } from "../live/events.ts"
import { QueueTable } from "../queues/table.tsx"
import { jobsAt, Link, navigate, queueAt } from "../router.ts"
import { Await } from "../ui/loading.tsx"
import { Card } from "../ui/page.tsx"
import { WordBadge } from "../ui/state.tsx"
import { Ago } from "../ui/time.tsx"

export default function OverviewPage() {
  useTopics("overview", "queues", "workers")
  const has = useHas()
  const data = useQuery({ queryKey: ["overview"], queryFn: overview })
  const metrics = useQuery({
    queryKey: ["metrics", "overview"],
    queryFn: () => queryMetrics({ prefix: "jobs", by: "outcome", resolution: "1m" }),
    enabled: has("metrics"),
    refetchInterval: 10_000,
  }).data
  return (
    <div className="page overview">
      <h1 className="sr">Overview</h1>
      <Await of={data} rows={12}>
        {(loaded) => (
          <div className="stack">
            <Verdict data={loaded} />
            <Figures data={loaded} metrics={metrics} />
            <div className="grid-main">
              <div className="stack">
                {metrics && <Outcomes metrics={metrics} />}
                <Card title={<Link to="/queues">Queues</Link>} flush>
                  <QueueTable queues={loaded.queues} short />
                </Card>
              </div>
              <div className="stack">
                {!metrics && <States data={loaded} />}
                <TopErrors />
                <Workers />
              </div>
            </div>
          </div>
        )}
      </Await>
    </div>
  )
}

const placeOf = ({ kind, queue }: Overview["problems"][number]): string => {
  if (kind === "no-workers") return "/workers"
  return queue === undefined ? "/queues" : kind === "backlog" ? jobsAt(`state:pending queue:${queue}`) : queueAt(queue)
}

function Verdict({ data: { problems } }: { data: Overview }) {
  if (problems.length === 0) {
    return (
      <p className="verdict good">
        <WordBadge word="succeeded" />
        <span>Everything runs.</span>
      </p>
    )
  }
  return (
    <div className="verdict bad" role="status">
      <WordBadge word="failed" />
      <b>{problems.length === 1 ? "One problem" : `${problems.length} problems`}</b>
      <ul className="row">
        {problems.slice(0, 4).map((problem) => (
          <li key={problem.text}>
            <Link to={placeOf(problem)} className="link">
              {problem.text}
            </Link>
          </li>
        ))}
      </ul>
    </div>
  )
}

interface FigureProps {
  title: string
  value: ReactNode
  unit?: string
  to: string
  values?: readonly (number | null)[]
  tone?: string
}

function Figure({ title, value, unit, to, values, tone }: FigureProps) {
  return (
    <Link to={to} className={`figure-card${tone ? ` ${tone}` : ""}`}>
      <span className="meta">{title}</span>
      <span className="figure">
        {value}
        {unit && <small>{unit}</small>}
      </span>
      {values && values.length > 0 && <Spark values={values.slice(-24)} label={`${title}, lately`} />}
    </Link>
  )
}

function Figures({ data, metrics }: { data: Overview; metrics: MetricsResult | undefined }) {
  const { states, queues, workers } = data
  const running = states?.running?.value ?? workers.running ?? 0
  const slots = queues.reduce((sum, queue) => sum + (queue.slots ?? 0), 0)
  const oldest = queues.reduce((most, queue) => Math.max(most, queue.oldestReadyMs ?? 0), 0)
  const oldestQueue = queues.find((queue) => (queue.oldestReadyMs ?? 0) === oldest)
  const failed = states?.failed
  const flow = metrics && flowOf(metrics)
  return (
    <div className="figures-row">
      {flow ? (
        <>
          <Figure
            title="Done per minute"
            value={rate(flow.perMinute)}
            to={jobsAt("state:succeeded finished:-15m")}
            values={flow.done}
          />
          <Figure
            title="Failing, last 15 min"
            value={percent(flow.failing)}
            to={jobsAt("state:failed,retrying created:-15m")}
            values={flow.bad}
            tone={flow.failing > 0.05 ? "worry" : undefined}
          />
          <Figure
            title="Wait, p95"
            value={flow.wait === null ? "–" : duration(flow.wait)}
            to="/metrics"
            values={flow.waits}
          />
        </>
      ) : (
        <>
          <Figure
            title="Succeeded"
            value={states?.succeeded ? compact(states.succeeded.value) : "–"}
            to={jobsAt("state:succeeded")}
          />
          <Figure
            title="Failed"
            value={failed ? compact(failed.value) : "–"}
            to={jobsAt("state:failed")}
            tone={(failed?.value ?? 0) > 0 ? "worry" : undefined}
          />
          <Figure
            title="Waiting"
            value={states?.pending ? compact(states.pending.value) : "–"}
            to={jobsAt("state:pending")}
          />
        </>
      )}
      <Figure
        title="Running"
        value={number(running)}
        unit={slots > 0 ? ` of ${compact(slots)} slots` : undefined}
        to={jobsAt("state:running")}
      />
      <Figure
        title="Longest waiting"
        value={oldest > 0 ? duration(oldest) : "none"}
        unit={oldest > 0 && oldestQueue ? ` in ${oldestQueue.name}` : undefined}
        to={jobsAt(oldest > 0 && oldestQueue ? `state:pending queue:${oldestQueue.name}` : "state:pending")}
        tone={oldest > 300_000 ? "worry" : undefined}
      />
    </div>
  )
}

function flowOf(metrics: MetricsResult) {
  const stacks = stacksOf(metrics)
  const sum = (state: "succeeded" | "failed" | "retrying", index: number) => stacks[index]?.values?.[state] ?? 0
  const lately = Array.from({ length: Math.min(15, stacks.length) }, (_, back) => stacks.length - 1 - back)
  const good = lately.reduce((total, index) => total + sum("succeeded", index), 0)
  const bad = lately.reduce((total, index) => total + sum("failed", index) + sum("retrying", index), 0)
  const wait = find(metrics, "jobs.wait")
  // The last minute is not over: the one before it is the newest whole one.
  const before = lately.slice(1, 6).filter((index) => stacks[index]?.values)
  const whole = before.length > 0 ? before : lately.slice(0, 1)
  return {
    perMinute: whole.reduce((total, index) => total + sum("succeeded", index), 0) / Math.max(whole.length, 1),
    failing: good + bad === 0 ? 0 : bad / (good + bad),
    done: stacks.map((stack) => stack.values && (stack.values.succeeded ?? 0)),
    bad: stacks.map((stack) => stack.values && (stack.values.failed ?? 0) + (stack.values.retrying ?? 0)),
    waits: valuesOf(wait, (point) => point.p95),
    wait: valuesOf(wait, (point) => point.p95).findLast((value) => value !== null) ?? null,
  }
}

const legend = ["succeeded", "retrying", "failed", "cancelled"] as const

function Outcomes({ metrics }: { metrics: MetricsResult }) {
  const pick = (at: string) => {
    const end = new Date(Date.parse(at) + 60_000).toISOString()
    navigate(jobsAt(`finished:${at}..${end}`))
  }
  return (
    <Card
      title={<Link to="/metrics">What ended, by minute</Link>}
      actions={
        <ul className="row legend hide-narrow">
          {legend.map((state) => (
            <li key={state} className={`s-${state}`}>
              <i />
              {state}
            </li>
          ))}
        </ul>
      }
    >
      <StackedBars label="What ended, by minute" stacks={stacksOf(metrics)} end={metrics.now} onPick={pick} />
    </Card>
  )
}

function States({ data: { states } }: { data: Overview }) {
  if (!states) return null
  return (
    <Card title="Jobs by state">
      <ul className="states">
        {Object.entries(states).map(([state, count]) => (
          <li key={state}>
            <Link to={jobsAt(`state:${state}`)}>
              <WordBadge word={state} />
              <span className="num">
                {compact(count!.value)}
                {count!.capped && "+"}
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function TopErrors() {
  const has = useHas()
  const { data } = useQuery({
    queryKey: ["errors", "open"],
    queryFn: () => listGroups("open"),
    enabled: has("errors"),
    refetchInterval: 15_000,
  })
  if (!has("errors")) return null
  const groups = (data?.groups ?? []).slice(0, 5)
  return (
    <Card title={<Link to="/errors">Errors</Link>} flush>
      {groups.length === 0 ? (
        <p className="body muted">{data ? "None is open." : " "}</p>
      ) : (
        <ul className="lines-list">
          {groups.map((group) => (
            <li key={group.fingerprint}>
              <Link to={`/errors/${group.fingerprint}`}>
                <span className="bad">{group.name}</span>
                <span className="cut">{group.message}</span>
                <span className="num muted">{compact(group.count)}</span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

function Workers() {
  const { schema } = useMeta()
  const { data } = useQuery({ queryKey: ["workers"], queryFn: listWorkers })
  return (
    <Card
      title={<Link to="/workers">Workers</Link>}
      actions={<span className="meta">schema {schema.current}</span>}
      flush
    >
      <ul className="lines-list">
        {(data ?? []).slice(0, 6).map((worker) => (
          <li key={worker.incarnation}>
            <Link to={`/workers/${encodeURIComponent(worker.id)}`}>
              <WordBadge word={worker.alive ? "alive" : "lost"} />
              <span className="cut">{worker.id}</span>
              {worker.leader && <span className="tag">leads</span>}
              <span className="num muted">
                {worker.running ?? "–"} running, <Ago at={worker.seenAt} />
              </span>
            </Link>
          </li>
        ))}
        {data?.length === 0 && <li className="body muted">None. Jobs wait until one starts.</li>}
      </ul>
    </Card>
  )
}
