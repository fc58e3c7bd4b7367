import { failure } from "../../model/errors.ts"
import type { AppContext, PluginContext } from "../../model/plugin.ts"
import { requireMigrated } from "../../postgres/migrate.ts"
import type { Cron } from "./contract.ts"
import { round } from "./fire.ts"
import { migrations } from "./migrations.ts"
import * as operations from "./operations.ts"
import { badSchedule, parseCron, type CronOptions, type Declared } from "./options.ts"
import { preview } from "./preview.ts"
import { lateSchedules, removeTicks } from "./queries.ts"
import { routes } from "./routes.ts"

/**
 * Jobs at times: cron expressions and intervals, stored in the database. Belongs to the app, whose workers fire the ticks; no tick
 * has two jobs, whatever workers, leaders and clocks do.
 *
 * @example
 * const schedules = cron()
 * const app = new Millrace({ dsn, plugins: [schedules] })
 * await schedules.schedule(report, { day: "yesterday" }, { key: "report", cron: "0 9 * * 1-5", zone: "Europe/Berlin" })
 *
 * @throws MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION, MILLRACE_BAD_SCHEDULE.
 */
export function cron(given?: CronOptions): Cron {
  const { schedules, owner, every, keep } = parseCron(given)
  if (schedules) checkDeclared(schedules)
  let home: AppContext | undefined
  let problems: readonly string[] = []
  let undeclared: readonly string[] = []
  const app = (): AppContext => {
    if (home) return home
    throw failure("MILLRACE_NO_APP", "These schedules belong to no app yet: new Millrace({ plugins: [schedules] }).")
  }
  const sync = async () => {
    if (!schedules) return { stored: [], removed: [], failed: {} }
    const done = await operations.sync(app(), schedules, owner)
    undeclared = Object.entries(done.failed).map(
      ([key, problem]) => `schedule "${key}" of the code is refused: ${problem}`,
    )
    for (const text of undeclared) app().log.error(text)
    return done
  }
  const cronPlugin: Cron = {
    name: "cron",
    tables: ["schedules", "schedule_ticks"],
    migrations,
    attach: (context) => void (home = context),
    async onStart({ db, names }) {
      await requireMigrated(db, names, "cron", migrations.length)
      await sync()
    },
    run: (ctx, signal) =>
      fireAll(ctx, signal, every, (found) => {
        problems = Object.entries(found).map(([key, problem]) => `schedule "${key}" cannot run: ${problem}`)
      }),
    problems: () => [...undeclared, ...problems],
    cleanup: ({ db, names }) => removeTicks(db, names, keep, 10_000),
    routes: routes(() => cronPlugin),
    sync,
    schedule: async (definition, payload, options) => operations.schedule(app(), definition, payload, options),
    scheduleByName: async (job, payload, options) => operations.scheduleByName(app(), job, payload, options),
    unschedule: async (keys, options) =>
      operations.unschedule(app(), typeof keys === "string" ? [keys] : keys, options),
    list: async (options) => operations.list(app(), options),
    get: async (key, options) => (await operations.list(app(), options, [key]))[0],
    pause: async (key, options) => operations.pause(app(), key, options),
    resume: async (key, options) => operations.resume(app(), key, options),
    runNow: async (key, options) => operations.runNow(app(), key, options),
    ticks: async (key, options) => operations.ticks(app(), key, options),
    missed: async (lateMs) => lateSchedules(app().db, app().names, lateMs),
    preview: async (options) => preview(app(), options),
  }
  return cronPlugin
}

export type { Synchronised, TicksOptions } from "./operations.ts"
export type { CronOptions, Declared, ScheduleOptions } from "./options.ts"
export type { Preview, PreviewedRun, PreviewOptions } from "./preview.ts"
export { defineSchedule } from "./schedule.ts"
export type { Schedule, Tick } from "./schedule.ts"
export type { Cron } from "./contract.ts"

function checkDeclared(schedules: readonly Declared[]): void {
  const seen = new Set<string>()
  for (const declared of schedules) {
    const key = declared?.schedule?.key
    if (key === undefined) {
      const text =
        'cron.schedules: each is made by defineSchedule(definition, payload, { key: "report", cron: "0 9 * * *" }).'
      throw badSchedule(text)
    }
    if (seen.has(key))
      throw badSchedule(`cron.schedules: two schedules have the key "${key}"; give one of them another.`)
    seen.add(key)
  }
}

/** Acts when something is due, until it is stopped. */
async function fireAll(
  ctx: PluginContext,
  signal: AbortSignal,
  every: number,
  tell: (problems: Readonly<Record<string, string>>) => void,
): Promise<void> {
  const remove = ctx.hub.on("schedule.changed", () => ctx.wakeUp())
  try {
    while (!signal.aborted) {
      const wait = await round(ctx, every, tell)
      if (wait > 0 && !(await ctx.sleep(wait))) return
    }
  } finally {
    remove()
  }
}
