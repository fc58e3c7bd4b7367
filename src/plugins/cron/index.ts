import { failure } from "../../model/errors.ts"
import type { AppContext, Plugin, PluginContext } from "../../model/plugin.ts"
import type { Pushable } from "../../model/pushable.ts"
import { requireMigrated } from "../../postgres/migrate.ts"
import { round } from "./fire.ts"
import { migrations } from "./migrations.ts"
import * as operations from "./operations.ts"
import type { TicksOptions } from "./operations.ts"
import { badSchedule, parseCron, type CronOptions, type ScheduleOptions, type TransactionOption } from "./options.ts"
import { preview, type Preview, type PreviewOptions } from "./preview.ts"
import { removeTicks } from "./queries.ts"
import { routes } from "./routes.ts"
import type { Declared, Schedule, Tick } from "./schedule.ts"

/** Schedules: what `cron()` returns, beside being a plugin. All times are the database's. */
export interface Cron extends Plugin {
  /**
   * Makes a schedule, or changes the one of this key. The payload is checked now. A tick that is due, and that nobody has acted
   * on, stays so when only something else than its times is changed.
   *
   * @throws MILLRACE_BAD_SCHEDULE, MILLRACE_BAD_NAME, MILLRACE_BAD_PAYLOAD and what else `push` throws.
   */
  schedule<Input, Result>(
    definition: Pushable<Input, Result>,
    payload: NoInfer<Input>,
    options: ScheduleOptions & TransactionOption,
  ): Promise<Schedule>
  /** The same by the job's name alone, with the defaults that workers have announced; its schema sees the payload when it runs. */
  scheduleByName(job: string, payload: unknown, options: ScheduleOptions & TransactionOption): Promise<Schedule>
  /** Removes schedules with their history; jobs that they pushed stay. Returns the keys of those that were there. */
  unschedule(keys: string | readonly string[], options?: TransactionOption): Promise<string[]>
  /** All schedules, by key. */
  list(options?: TransactionOption): Promise<Schedule[]>
  /** Undefined: there is none of this key. */
  get(key: string, options?: TransactionOption): Promise<Schedule | undefined>
  /** It does not run until it is resumed. @throws MILLRACE_UNKNOWN_SCHEDULE. */
  pause(key: string, options?: TransactionOption): Promise<Schedule>
  /** It runs from its next tick on; those of the pause are not made up for. @throws MILLRACE_UNKNOWN_SCHEDULE. */
  resume(key: string, options?: TransactionOption): Promise<Schedule>
  /** Pushes its job now, paused or not, beside its ticks. Returns the job's id. @throws MILLRACE_UNKNOWN_SCHEDULE. */
  runNow(key: string, options?: TransactionOption): Promise<string>
  /** What came of its ticks, newest first. @throws MILLRACE_UNKNOWN_SCHEDULE. */
  ticks(key: string, options?: TicksOptions): Promise<Tick[]>
  /** The next runs of times that are not stored (yet). @throws MILLRACE_BAD_SCHEDULE. */
  preview(options: PreviewOptions): Promise<Preview>
  /** What a worker does when it starts: makes the schedules of the code so. Returns the keys that changed. */
  sync(): Promise<{ stored: string[]; removed: string[] }>
}

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
  const app = (): AppContext => {
    if (home) return home
    throw failure("MILLRACE_NO_APP", "These schedules belong to no app yet: new Millrace({ plugins: [schedules] }).")
  }
  const sync = async () => (schedules ? operations.sync(app(), schedules, owner) : { stored: [], removed: [] })
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
    problems: () => problems,
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
    preview: async (options) => preview(app(), options),
  }
  return cronPlugin
}

export type { TicksOptions } from "./operations.ts"
export type { CronOptions, ScheduleOptions } from "./options.ts"
export type { Preview, PreviewedRun, PreviewOptions } from "./preview.ts"
export { defineSchedule } from "./schedule.ts"
export type { Declared, Schedule, Tick } from "./schedule.ts"

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
