import { formatDuration } from "../../lib/duration.ts"
import { abortableSleep } from "../../lib/signal.ts"
import type { PluginContext } from "../../model/plugin.ts"
import { undeclaredQueues } from "../../postgres/queues.ts"
import { anyOf, cleaned, type Problem, type Rule, type RuleOf } from "./rules.ts"

/*
 * What each kind of rule looks at. Everything is compared by the database's clock, and no statement reads a table of jobs
 * in proportion to its size.
 */

/** What is wrong now, by this rule. */
export async function problemsOf(rule: Rule, ctx: PluginContext): Promise<readonly Problem[]> {
  switch (rule.kind) {
    case "backlog":
      return backlog(rule, ctx)
    case "failures":
      return failures(rule, ctx)
    case "no-worker":
      return noWorker(rule, ctx)
    case "missed-schedule":
      return missedSchedules(rule, ctx)
    case "degraded-plugin":
      return degradedPlugins(ctx)
    case "error":
      return openErrors(ctx)
    case "custom":
      return custom(rule, ctx)
  }
}

/** One that never ends must not keep the leader from looking at the others. */
async function custom({ name, check, timeout }: RuleOf<"custom">, ctx: PluginContext): Promise<readonly Problem[]> {
  const done = new AbortController()
  const late = abortableSleep(timeout, done.signal).then((slept): never | [] => {
    if (slept) throw new Error(`check(ctx) of "${name}" took longer than ${formatDuration(timeout)}`)
    return []
  })
  try {
    return cleaned(await Promise.race([check(ctx), late]))
  } finally {
    done.abort()
  }
}

const open = (queue: string) => `(${queue}.paused_at is null or ${queue}.resume_at <= now())`

/** The conditions of the indexes of waiting jobs. */
const ready = "j.state = 'pending' and j.crashes < 2 and (j.options ->> 'key') is null"
const suspect = "j.state = 'pending' and j.crashes >= 2 and (j.options ->> 'key') is null"
const keyed = "j.state = 'pending' and (j.options ->> 'key') is not null"
const due = "j.state in ('scheduled', 'retrying')"

/** So many jobs with keys are looked at in each queue: their index is by key, not by age. */
const mostKeyed = 10_000

/**
 * The oldest ready job of each queue. The index of ready jobs begins with queue and rank: a step per rank in use, and the
 * first entry of each. What is due and was not made ready (nobody runs the queue) counts as well.
 */
async function backlog(rule: RuleOf<"backlog">, { db, names }: PluginContext): Promise<Problem[]> {
  const jobs = names.of("jobs")
  const { rows } = await db.query<{ queue: string; ms: number }>(
    `with recursive queues as (select q.name from ${names.of("queues")} q where ${open("q")}),
     ranks(queue, rank) as (
       select q.name, (select j.rank from ${jobs} j where j.queue = q.name and ${ready} order by j.rank limit 1) from queues q
       union all
       select r.queue, (select j.rank from ${jobs} j where j.queue = r.queue and ${ready} and j.rank > r.rank
         order by j.rank limit 1) from ranks r where r.rank is not null),
     oldest(queue, at) as (
       select r.queue, (select j.ready_at from ${jobs} j where j.queue = r.queue and j.rank = r.rank and ${ready}
         order by j.ready_at limit 1) from ranks r where r.rank is not null
       union all
       select q.name, (select min(j.ready_at) from ${jobs} j where j.queue = q.name and ${suspect}) from queues q
       union all
       select q.name, (select min(k.ready_at) from (
         select j.ready_at from ${jobs} j where j.queue = q.name and ${keyed} limit ${mostKeyed}) k) from queues q
       union all
       select q.name, (select j.run_at from ${jobs} j where j.queue = q.name and ${due} order by j.run_at limit 1) from queues q)
     select queue, (extract(epoch from now() - min(at)) * 1000)::float8 as ms from oldest
     where at <= now() group by queue`,
  )
  const fits = anyOf(rule.queues)
  return rows
    .filter(({ queue, ms }) => ms > rule.above && fits(queue))
    .map(({ queue, ms }) => ({
      subject: queue,
      value: Math.round(ms),
      text: `The oldest ready job of the queue "${queue}" has waited for ${formatDuration(ms)}.`,
    }))
}

/** Percentage of failures per queue, of what all workers have counted. */
async function failures(rule: RuleOf<"failures">, { db, names }: PluginContext): Promise<Problem[]> {
  const { rows } = await db.query<{ queue: string; name: string; succeeded: number; failed: number; retrying: number }>(
    `select queue, name, sum(succeeded)::float8 as succeeded, sum(failed)::float8 as failed, sum(retrying)::float8 as retrying
     from ${names.of("alert_counts")} where minute > now() - $1::float8 * interval '1 millisecond' group by queue, name`,
    [rule.within],
  )
  const [queues, jobs] = [anyOf(rule.queues), anyOf(rule.names)]
  const totals = new Map<string, { all: number; bad: number }>()
  for (const { queue, name, succeeded, failed, retrying } of rows) {
    if (!queues(queue) || !jobs(name)) continue
    const total = totals.get(queue) ?? { all: 0, bad: 0 }
    const bad = rule.of === "jobs" ? failed : failed + retrying
    totals.set(queue, { all: total.all + succeeded + bad, bad: total.bad + bad })
  }
  return [...totals]
    .filter(([, { all, bad }]) => all >= rule.atLeast && bad * 100 > all * rule.above)
    .map(([queue, { all, bad }]) => ({
      subject: queue,
      value: Math.round((bad * 1_000) / all) / 10,
      text: `${bad} of ${all} ${rule.of} of the queue "${queue}" failed within ${formatDuration(rule.within)}.`,
    }))
}

/** Queues that no live worker runs, declared or not. */
async function noWorker(rule: RuleOf<"no-worker">, { db, names }: PluginContext): Promise<Problem[]> {
  const jobs = names.of("jobs")
  // Not `exists`: the planner may answer that for all queues at once, by reading every job.
  const { rows } = await db.query<{ queue: string; waits: boolean }>(
    `select q.name as queue, coalesce(
       (select true from ${jobs} j where j.queue = q.name and ${ready} order by j.rank limit 1),
       (select true from ${jobs} j where j.queue = q.name and ${suspect} order by j.rank limit 1),
       (select true from ${jobs} j where j.queue = q.name and ${keyed} order by j.options ->> 'key' limit 1),
       (select j.run_at <= now() from ${jobs} j where j.queue = q.name and ${due} order by j.run_at limit 1), false) as waits
     from ${names.of("queues")} q
     where ${open("q")} and not exists (
       select 1 from ${names.of("workers")} w where w.expires_at > now() and q.name = any(w.queues))`,
  )
  const undeclared = (await undeclaredQueues(db, names)).map((queue) => ({ queue, waits: true }))
  const fits = anyOf(rule.queues)
  return [...rows, ...undeclared]
    .filter(({ queue, waits }) => (waits || rule.idle) && fits(queue))
    .map(({ queue }) => ({ subject: queue, text: `No live worker runs the queue "${queue}".` }))
}

/** What a plugin of schedules offers, if there is one. */
interface Schedules {
  /** Schedules whose next run is late by more than that. */
  missed?(lateMs: number): Promise<readonly { readonly key: string; readonly lateMs: number }[]>
}

async function missedSchedules(rule: RuleOf<"missed-schedule">, { plugins }: PluginContext): Promise<Problem[]> {
  const cron = plugins.find(({ name }) => name === "cron") as Schedules | undefined
  const missed = (await cron?.missed?.(rule.above)) ?? []
  return missed.map(({ key, lateMs }) => ({
    subject: key,
    value: Math.round(lateMs),
    text: `The schedule "${key}" should have run ${formatDuration(lateMs)} ago.`,
  }))
}

/** A plugin that keeps failing is tried about once a minute, and says so each time. */
const signalFor = "150 seconds"

async function degradedPlugins({ db, names }: PluginContext): Promise<Problem[]> {
  const { rows } = await db.query<{ plugin: string; workers: number; error: string }>(
    `select s.plugin, count(*)::integer as workers, max(s.error) as error from ${names.of("alert_signals")} s
     join ${names.of("workers")} w on w.id = s.worker and w.expires_at > now()
     where s.seen_at > now() - interval '${signalFor}' group by s.plugin`,
  )
  return rows.map(({ plugin, workers, error }) => ({
    subject: plugin,
    value: workers,
    text: `The plugin "${plugin}" keeps failing on ${workers} worker${workers === 1 ? "" : "s"}: ${error}`,
  }))
}

/** What a plugin that groups errors offers, if there is one. */
interface Errors {
  list?(options: { state: "open"; limit: number }): Promise<{
    readonly groups: readonly { fingerprint: string; name: string; pattern: string; count: number }[]
  }>
}

async function openErrors({ plugins }: PluginContext): Promise<Problem[]> {
  const errors = plugins.find(({ name }) => name === "errors") as Errors | undefined
  const { groups } = (await errors?.list?.({ state: "open", limit: 500 })) ?? { groups: [] }
  return groups.map(({ fingerprint, name, pattern, count }) => ({
    subject: fingerprint,
    value: count,
    text: `${name}: ${pattern}`,
  }))
}
