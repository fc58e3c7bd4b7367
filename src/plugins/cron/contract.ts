import type { Plugin } from "../../model/plugin.ts"
import type { Pushable } from "../../model/pushable.ts"
import type { Synchronised, TicksOptions } from "./operations.ts"
import type { ScheduleOptions, TransactionOption } from "./options.ts"
import type { Preview, PreviewOptions } from "./preview.ts"
import type { Schedule, Tick } from "./schedule.ts"

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
  /** Schedules whose next run is late by more than so many milliseconds: nobody fires them. At most 100, the latest first. */
  missed(lateMs: number): Promise<readonly { readonly key: string; readonly lateMs: number }[]>
  /** The next runs of times that are not stored (yet). @throws MILLRACE_BAD_SCHEDULE. */
  preview(options: PreviewOptions): Promise<Preview>
  /** What a worker does when it starts: makes the schedules of the code so. One that cannot be does not keep the others from it. */
  sync(): Promise<Synchronised>
}
