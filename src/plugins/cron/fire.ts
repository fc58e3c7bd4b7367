import { showPush } from "../../client/pushing.ts"
import { describe } from "../../lib/error.ts"
import { uuidv7 } from "../../lib/uuid.ts"
import type { PluginContext } from "../../model/plugin.ts"
import { plan } from "./due.ts"
import { isoOf, nextDue } from "./occurrences.ts"
import { firePlans, look, type FiredRow, type SentPlan } from "./queries.ts"
import type { ScheduleRow } from "./schedule.ts"

/*
 * Every worker looks when the next schedule is due, and all may act: the first to write the tick's row has done it, for the others
 * the statement does nothing. The leader goes first and the others a moment later, so that they seldom meet.
 */

/** Schedules in one statement. */
const atOnce = 100
/** What is due and cannot be acted on now (somebody edits its row) is tried again so soon, ms. */
const lockedPause = 100

/** One look, and what follows from it. Returns how long to sleep, ms. */
export async function round(
  ctx: PluginContext,
  every: number,
  tell: (problems: Readonly<Record<string, string>>) => void,
): Promise<number> {
  const { due, now, wait, problems } = await look(ctx.db, ctx.names, atOnce)
  tell(problems)
  if (due.length === 0) return Math.min(every, wait === undefined ? every : wait + modesty(ctx))
  const plans = due.map((row) => planFor(ctx, row, now))
  const fired = await firePlans(ctx.db, ctx.names, plans, ctx.worker.id, ctx.config.notifications)
  for (const row of fired) report(ctx, row)
  return fired.length > 0 ? 0 : lockedPause * (1 + Math.random())
}

/** Milliseconds that others leave to the leader. */
const modesty = ({ leader }: PluginContext): number => (leader.leads ? 0 : 40 + Math.random() * 60)

/** A row that nothing can be made of becomes a plan too: to say so, and to leave it alone for a while. */
function planFor(ctx: PluginContext, row: ScheduleRow, now: number): SentPlan {
  try {
    return { key: row.key, version: row.version, ...ticksOf(ctx, row, now) }
  } catch (error) {
    return { key: row.key, version: row.version, problem: describe(error) }
  }
}

function ticksOf(ctx: PluginContext, row: ScheduleRow, now: number): Pick<SentPlan, "ticks" | "next" | "run"> {
  const timing = timingOf(row)
  // A row that was written by hand may not say yet.
  const next = row.next_at === null ? nextDue(timing, now) : Date.parse(row.next_at)
  if (next === undefined) return { ticks: [] }
  const { ticks, ...then } = plan(
    {
      ...timing,
      key: row.key,
      next,
      jitter: row.jitter_ms,
      missed: row.missed,
      missedLimit: row.missed_limit,
      grace: row.grace_ms,
    },
    now,
  )
  return {
    next: isoOf(then.next),
    run: isoOf(then.runAt),
    ticks: ticks.map(({ at, push, missed }) => ({
      at: isoOf(at)!,
      push,
      missed,
      job: uuidv7(),
      meta: { ...metaOf(ctx, row), schedule: { key: row.key, at: isoOf(at) } },
    })),
  }
}

export const timingOf = (row: ScheduleRow) => ({
  cron: row.cron ?? undefined,
  every: row.every_ms ?? undefined,
  zone: row.zone,
  start: row.starts_at === null ? undefined : Date.parse(row.starts_at),
  end: row.ends_at === null ? undefined : Date.parse(row.ends_at),
})

/** What plugins that see pushes add to the job's meta. */
function metaOf(ctx: PluginContext, row: ScheduleRow): Record<string, unknown> {
  const meta: Record<string, unknown> = {}
  showPush(ctx.plugins, ctx.log, { name: row.job, queue: row.queue, payload: row.payload, meta })
  return meta
}

function report({ hub, log, worker }: PluginContext, { key, at, outcome, job, problem }: FiredRow): void {
  if (problem !== null) {
    log.error(`schedule "${key}" cannot run; it is tried again in a minute`, { error: problem })
    return hub.emit("schedule.failed", { key, error: problem, worker: worker.id }, { cluster: true })
  }
  if (at === null || outcome === null) return
  log.debug(`schedule "${key}": ${outcome}`, { at: at.toISOString(), job })
  hub.emit("schedule.fired", { key, at: at.toISOString(), outcome, job: job ?? undefined, worker: worker.id })
}
