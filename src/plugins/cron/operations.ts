import { describe } from "../../lib/error.ts"
import { uuidv7 } from "../../lib/uuid.ts"
import type { Connection } from "../../model/database.ts"
import { failure } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import type { AnyDefinition } from "../../model/pushable.ts"
import { fromTransaction } from "../../postgres/adapters/pg.ts"
import { sendNotices } from "../../postgres/notify.ts"
import { runAt } from "./due.ts"
import { timingOf } from "./fire.ts"
import { isoOf, nextDue } from "./occurrences.ts"
import {
  parseSchedule,
  type ParsedSchedule,
  type Declared,
  type ScheduleOptions,
  type TransactionOption,
} from "./options.ts"
import * as queries from "./queries.ts"
import { scheduleOf, unknownSchedule, type Schedule, type Tick } from "./schedule.ts"
import { checkNotOver, pushesByName, pushesOf, storedOf, type Pushes } from "./stored.ts"

/** What can be done with schedules, in a transaction of the caller's or in one of its own. */

type Change = "stored" | "paused" | "resumed" | "removed"

const within = <T>(
  app: AppContext,
  given: TransactionOption | undefined,
  run: (tx: Connection) => Promise<T>,
): Promise<T> => (given?.tx ? run(fromTransaction(given.tx)) : inOwn(app, run))

/** A process that is frozen in the middle of it must not keep schedules from running for long. */
const inOwn = <T>(app: AppContext, run: (tx: Connection) => Promise<T>): Promise<T> =>
  app.db.transaction(async (tx) => {
    await tx.query("set local idle_in_transaction_session_timeout = '10s'")
    return run(tx)
  })

/** Tells every process, this one too, once the change is committed: workers look at their clocks again. */
async function tell(app: AppContext, tx: Connection, keys: readonly string[], change: Change): Promise<void> {
  if (!app.config.notifications || keys.length === 0) return
  const notices = keys.map((key) => {
    const event = { from: "", n: 0, name: "schedule.changed", body: { key, change } }
    return { kind: "event", about: JSON.stringify(event) } as const
  })
  await sendNotices(tx, app.names, notices)
}

async function store(
  app: AppContext,
  tx: Connection,
  schedule: ParsedSchedule,
  pushes: Pushes,
  owner?: string,
): Promise<Schedule | undefined> {
  const now = await queries.readClock(tx, app.names)
  // What the code declares may come to its end while the code stays as it is.
  if (owner === undefined) checkNotOver(schedule, now)
  const stored = storedOf(schedule, pushes, now)
  const row = await queries.store(tx, app.names, stored, pushes.kind, pushes.payload, owner)
  if (row) await tell(app, tx, [row.key], "stored")
  return row && scheduleOf(row)
}

export async function schedule(
  app: AppContext,
  definition: AnyDefinition,
  payload: unknown,
  given: ScheduleOptions & TransactionOption,
): Promise<Schedule> {
  const { tx, ...options } = given ?? {}
  const parsed = parseSchedule(options)
  const pushes = await pushesOf(definition, payload, parsed, app.config.maxPayload)
  return within(app, { tx }, async (own) => (await store(app, own, parsed, pushes))!)
}

export async function scheduleByName(
  app: AppContext,
  job: string,
  payload: unknown,
  given: ScheduleOptions & TransactionOption,
): Promise<Schedule> {
  const { tx, ...options } = given ?? {}
  const parsed = parseSchedule(options)
  return within(app, { tx }, async (own) => {
    const pushes = await pushesByName(own, app.names, job, payload, parsed, app.config.maxPayload)
    return (await store(app, own, parsed, pushes))!
  })
}

export interface Synchronised {
  /** Keys that were added or changed. */
  readonly stored: readonly string[]
  readonly removed: readonly string[]
  /** Those that stay as they were, with the reason. */
  readonly failed: Readonly<Record<string, string>>
}

/** Makes the database say what the code says: added, changed, and those of this owner that are gone. */
export async function sync(app: AppContext, declared: readonly Declared[], owner: string): Promise<Synchronised> {
  const failed: Record<string, string> = {}
  const wanted: { parsed: ParsedSchedule; pushes: Pushes }[] = []
  for (const { definition, payload, schedule: parsed } of declared) {
    try {
      wanted.push({ parsed, pushes: await pushesOf(definition, payload, parsed, app.config.maxPayload) })
    } catch (error) {
      failed[parsed.key] = describe(error) // the others are made so all the same
    }
  }
  // In one order everywhere, or two workers that start would wait for each other.
  wanted.sort((a, b) => (a.parsed.key < b.parsed.key ? -1 : 1))
  const keys = declared.map(({ schedule: { key } }) => key)
  return inOwn(app, async (tx) => {
    const stored: string[] = []
    for (const { parsed, pushes } of wanted) {
      if (await store(app, tx, parsed, pushes, owner)) stored.push(parsed.key)
    }
    const removed = await queries.removeOthers(tx, app.names, owner, keys)
    await tell(app, tx, removed, "removed")
    return { stored, removed, failed }
  })
}

export const unschedule = (app: AppContext, keys: readonly string[], given?: TransactionOption): Promise<string[]> =>
  within(app, given, async (tx) => {
    const removed = await queries.remove(tx, app.names, keys)
    await tell(app, tx, removed, "removed")
    return removed
  })

export async function list(app: AppContext, given?: TransactionOption, keys?: readonly string[]): Promise<Schedule[]> {
  return (await queries.read(connection(app, given), app.names, keys)).map(scheduleOf)
}

export const pause = (app: AppContext, key: string, given?: TransactionOption): Promise<Schedule> =>
  within(app, given, async (tx) => {
    const row = await queries.pause(tx, app.names, key)
    if (!row) throw unknownSchedule(key)
    await tell(app, tx, [key], "paused")
    return scheduleOf(row)
  })

/** Ticks of the time in which it was paused were not missed: nobody wanted them. */
export const resume = (app: AppContext, key: string, given?: TransactionOption): Promise<Schedule> =>
  within(app, given, async (tx) => {
    for (;;) {
      const [row] = await queries.read(tx, app.names, [key])
      if (!row) throw unknownSchedule(key)
      if (row.paused_at === null) return scheduleOf(row)
      const now = await queries.readClock(tx, app.names)
      const next = nextDue(timingOf(row), Math.max(now, row.last_at === null ? now : Date.parse(row.last_at)))
      const run = runAt({ key, jitter: row.jitter_ms }, next)
      const resumed = await queries.resume(tx, app.names, row, isoOf(next), isoOf(run))
      if (!resumed) continue
      await tell(app, tx, [key], "resumed")
      return scheduleOf(resumed)
    }
  })

export const runNow = async (app: AppContext, key: string, given?: TransactionOption): Promise<string> => {
  const { notifications } = app.config
  const job = await queries.runNow(connection(app, given), app.names, key, uuidv7(), notifications)
  if (job === undefined) throw unknownSchedule(key)
  return job
}

export interface TicksOptions {
  /** At most; 1 to 1,000. Default 50. */
  readonly limit?: number | undefined
  /** Only older ones: the `at` of the last of the page before. */
  readonly before?: Date | string | undefined
}

export async function ticks(app: AppContext, key: string, { limit = 50, before }: TicksOptions = {}): Promise<Tick[]> {
  const from = before === undefined ? undefined : new Date(before)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
    throw failure("MILLRACE_BAD_OPTION", `ticks.limit must be a whole number from 1 to 1,000, not ${String(limit)}.`)
  if (from && Number.isNaN(from.getTime()))
    throw failure("MILLRACE_BAD_OPTION", 'ticks.before must be a Date, or text such as "2027-01-31T09:00:00Z".')
  const found = await queries.readTicks(app.db, app.names, key, limit, from)
  if (found.length === 0 && (await queries.read(app.db, app.names, [key])).length === 0) throw unknownSchedule(key)
  return found
}

const connection = (app: AppContext, given: TransactionOption | undefined): Connection =>
  given?.tx ? fromTransaction(given.tx) : app.db
