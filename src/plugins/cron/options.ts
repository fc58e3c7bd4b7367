import {
  boolean,
  duration,
  integer,
  list,
  oneOf,
  parseOptions,
  text,
  value,
  type OptionsInput,
} from "../../lib/options.ts"
import type { CallerTransaction } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { PushOptions } from "../../model/job-options.ts"
import { checkName } from "../../model/name.ts"
import type { Pushable } from "../../model/pushable.ts"
import { nextDue, upcoming, type Timing } from "./occurrences.ts"
import type { MissedPolicy } from "./due.ts"

const moment = (given: unknown): string | undefined =>
  Number.isFinite(new Date(given as string).getTime()) && (given instanceof Date || typeof given === "string")
    ? undefined
    : 'must be a Date, or text such as "2027-01-31T09:00:00Z"'

const timing = {
  /** Five fields, six with seconds first, or a nickname such as `"@daily"`. */
  cron: text({ doc: 'Five fields, six with seconds first, or a nickname such as `"@daily"`.' }),
  /** The time from one run to the next, instead of `cron`; at least 1 s. */
  every: duration({ min: 1_000, doc: "The time from one run to the next, instead of `cron`; at least 1 s." }),
  /** Time zone of `cron`: an IANA name. */
  zone: text({ default: "UTC", doc: "Time zone of `cron`: an IANA name." }),
  /** It does not run before; an interval is counted from it. */
  start: value<Date | string>({
    type: "Date | text",
    doc: "It does not run before; an interval is counted from it.",
    check: moment,
  }),
  /** It does not run after. */
  end: value<Date | string>({ type: "Date | text", doc: "It does not run after.", check: moment }),
}

type PushedWith = Omit<PushOptions, "tx" | "id" | "runAt" | "delay" | "expiresAt" | "wake">

export const scheduleOptions = {
  /** Names the schedule, for ever. */
  key: text({ doc: "Names the schedule, for ever. Required." }),
  ...timing,
  /** Each run is put off by a time of up to this, the same on every worker: so that not all begin at once. */
  jitter: duration({
    default: 0,
    max: 86_400_000,
    doc: "Each run is put off by a time of up to this, the same on every worker: so that not all begin at once.",
  }),
  /** When the previous run has not finished: none, one beside it, or one instead of it. Default `skip`; `allow` with `missed: "all"`. */
  overlap: oneOf(["skip", "allow", "replace"], {
    doc: 'When the previous run has not finished: none, one beside it, or one instead of it. Default `skip`; `allow` with `missed: "all"`.',
  }),
  /** What becomes of runs that were due while no worker was there: none, one for all, or each. */
  missed: oneOf(["once", "skip", "all"], {
    default: "once",
    doc: "What becomes of runs that were due while no worker was there: none, one for all, or each.",
  }),
  /** Most runs that `missed: "all"` makes up for; of more, the latest. */
  missedLimit: integer({
    default: 1_000,
    min: 1,
    max: 10_000,
    doc: 'Most runs that `missed: "all"` makes up for; of more, the latest.',
  }),
  /** With `missed: "skip"`, a run that is later than this is missed. */
  grace: duration({ default: "1m", doc: 'With `missed: "skip"`, a run that is later than this is missed.' }),
  /** False: it is there, and does not run until it is resumed. Left out: as it was; a new one runs. */
  enabled: boolean({
    doc: "False: it is there, and does not run until it is resumed. Left out: as it was; a new one runs.",
  }),
  /** Options of its jobs, as for `app.push`. */
  push: value<PushedWith>({ type: "push options", doc: "Options of its jobs, as for `app.push`." }),
}

const inTransaction = {
  /** Your own open transaction: it is so when you commit. */
  tx: value<CallerTransaction>({ type: "client", doc: "Your own open transaction: it is so when you commit." }),
}

export type ScheduleOptions = OptionsInput<typeof scheduleOptions> & { readonly key: string }
export type TimingOptions = OptionsInput<typeof timing>
export type TransactionOption = OptionsInput<typeof inTransaction>

const hints = {
  expression: "cron",
  pattern: "cron",
  timezone: "zone",
  tz: "zone",
  timeZone: "zone",
  interval: "every",
  unique_key: "key",
  name: "key",
  startDate: "start",
  endDate: "end",
  catchUp: "missed",
  paused: "enabled",
  queue: 'Options of the jobs go into push: { queue: "mail" }.',
  priority: "Options of the jobs go into push: { priority: 5 }.",
  maxAttempts: "Options of the jobs go into push: { maxAttempts: 5 }.",
}

/** A schedule's options, checked. Times in milliseconds. */
export interface ParsedSchedule extends Timing {
  readonly key: string
  readonly jitter: number
  readonly overlap: "skip" | "allow" | "replace"
  readonly missed: MissedPolicy
  readonly missedLimit: number
  readonly grace: number
  readonly enabled: boolean | undefined
  readonly push: PushedWith | undefined
}

/** A schedule that the code declares: what `cron({ schedules: [ … ] })` takes. Made by `defineSchedule`. */
export interface Declared {
  readonly definition: Pushable<never, unknown>
  readonly payload: unknown
  /** Checked, with defaults. */
  readonly schedule: ParsedSchedule
}

const example = 'schedule(report, payload, { key: "daily-report", cron: "0 9 * * *", zone: "Europe/Berlin" })'

export const badSchedule = (what: string) => failure("MILLRACE_BAD_SCHEDULE", what)

/** @throws MILLRACE_BAD_SCHEDULE, MILLRACE_BAD_NAME, MILLRACE_BAD_OPTION, MILLRACE_UNKNOWN_OPTION, MILLRACE_BAD_DURATION. */
export function parseSchedule(given: ScheduleOptions): ParsedSchedule {
  const options = parseOptions("schedule", scheduleOptions, given, hints)
  if (options.key === undefined) {
    throw badSchedule(`schedule: a schedule needs a key, by which it is found and never doubled, as in ${example}.`)
  }
  const missed = options.missed
  const overlap = options.overlap ?? (missed === "all" ? "allow" : "skip")
  if (missed === "all" && overlap !== "allow") {
    const text = `schedule: missed: "all" gives every tick its job, which overlap: "${overlap}" would take away again. Use { missed: "all", overlap: "allow" }.`
    throw badSchedule(text)
  }
  const parsed = { ...options, ...timingOf(options), key: checkName("schedule.key", options.key), overlap }
  checkJitter(parsed)
  return parsed
}

/** @throws what `parseSchedule` throws about times. */
export function parseTiming(given: TimingOptions): Timing {
  return timingOf(parseOptions("schedule", timing, given, hints))
}

interface GivenTiming {
  readonly cron: string | undefined
  readonly every: number | undefined
  readonly zone: string
  readonly start: Date | string | undefined
  readonly end: Date | string | undefined
}

interface ParsedTiming extends Timing {
  readonly start: number | undefined
  readonly end: number | undefined
}

function timingOf({ cron, every, zone, start, end }: GivenTiming): ParsedTiming {
  if ((cron === undefined) === (every === undefined)) {
    const both =
      cron === undefined ? "says when it runs in neither cron nor every" : "says when it runs in both cron and every"
    throw badSchedule(`schedule: it ${both}. Give one of them: { cron: "0 9 * * 1-5" } or { every: "90s" }.`)
  }
  const given: ParsedTiming = {
    cron: cron?.trim().replace(/\s+/g, " "),
    every,
    zone,
    start: start === undefined ? undefined : new Date(start).getTime(),
    end: end === undefined ? undefined : new Date(end).getTime(),
  }
  checkFires(given)
  return given
}

/** A day on which every calendar has come round: what does not run from there on never does. */
const someDay = Date.UTC(2000, 0, 1)

function checkFires(given: Timing): void {
  if (given.start !== undefined && given.end !== undefined && given.end < given.start)
    throw badSchedule(`schedule: its end (${iso(given.end)}) is before its start (${iso(given.start)}).`)
  // A zone is wrong beside `every` as well, where nothing would look at it.
  nextDue({ cron: "0 0 * * *", zone: given.zone }, someDay)
  if (nextDue({ ...given, start: undefined, end: undefined }, someDay) === undefined) {
    const text = `schedule: the cron expression "${given.cron}" never comes: there is no such day. For the last day of each month write "0 0 L * *".`
    throw badSchedule(text)
  }
  if (nextDue(given, given.start ?? someDay) === undefined)
    throw badSchedule(
      `schedule: it would never run, since it has no time between its start and its end (${iso(given.end!)}).`,
    )
}

function checkJitter({ jitter, ...given }: ParsedSchedule): void {
  if (jitter === 0) return
  const runs = upcoming(given, (given.start ?? someDay) - 1, 10)
  const shortest = Math.min(...runs.slice(1).map((at, index) => at - runs[index]!))
  if (jitter < shortest) return
  const text = `schedule: a jitter of ${jitter} ms would put a run off beyond the next one, ${shortest} ms later. Use less, as in { every: "10m", jitter: "1m" }.`
  throw badSchedule(text)
}

const iso = (at: number): string => new Date(at).toISOString()

export const cronOptions = {
  /** Schedules of the code: workers make them so when they start. From `defineSchedule`. */
  schedules: list(value<Declared>({ type: "schedule", doc: "A schedule." }), {
    doc: "Schedules of the code: workers make them so when they start. From `defineSchedule`.",
  }),
  /** Whose they are: schedules of this owner that the code no longer declares are removed. */
  owner: text({
    default: "code",
    doc: "Whose they are: schedules of this owner that the code no longer declares are removed.",
  }),
  /** How often a worker looks, if nothing is due and nobody tells it of a change. */
  every: duration({
    default: "10s",
    min: 50,
    max: 3_600_000,
    doc: "How often a worker looks, if nothing is due and nobody tells it of a change.",
  }),
  /** How long the history of ticks is kept. */
  keep: duration({ default: "30d", min: 60_000, doc: "How long the history of ticks is kept." }),
}

export type CronOptions = OptionsInput<typeof cronOptions>

const cronHints = { poll_interval: "every", interval: "every", crontab: "schedules", retention: "keep" }

export const parseCron = (given: CronOptions | undefined) => parseOptions("cron", cronOptions, given, cronHints)
