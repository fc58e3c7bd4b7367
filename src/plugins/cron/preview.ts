import { failure } from "../../model/errors.ts"
import type { AppContext } from "../../model/plugin.ts"
import { describeTiming } from "./describe.ts"
import { upcoming, type Timing } from "./occurrences.ts"
import { parseTiming, type TimingOptions } from "./options.ts"
import { zoneOf } from "./zone.ts"

export interface PreviewOptions extends TimingOptions {
  /** How many runs; 1 to 1,000. Default 10. */
  readonly count?: number | undefined
  /** The runs after this moment. Default: the database's now. */
  readonly after?: Date | string | undefined
}

export interface PreviewedRun {
  readonly at: Date
  /** What the wall clock of the zone shows then, with its offset: `"2027-03-28T03:00:00+02:00"`. */
  readonly local: string
  /** Of the zone at that moment, `"+02:00"`: it changes with daylight saving. */
  readonly offset: string
}

export interface Preview {
  readonly description: string
  readonly zone: string
  readonly runs: readonly PreviewedRun[]
}

/** The next runs of what is not stored (yet). @throws MILLRACE_BAD_SCHEDULE, MILLRACE_BAD_OPTION. */
export async function preview(app: AppContext, given: PreviewOptions): Promise<Preview> {
  const { count = 10, after, ...rest } = given
  const timing = parseTiming(rest)
  if (after !== undefined && Number.isNaN(new Date(after).getTime()))
    throw failure("MILLRACE_BAD_OPTION", 'preview.after must be a Date, or text such as "2027-03-27T00:00:00Z".')
  if (!(count >= 1 && count <= 1_000))
    throw failure("MILLRACE_BAD_OPTION", `preview.count must be a number from 1 to 1,000, not ${String(count)}.`)
  const from = after === undefined ? await now(app) : new Date(after).getTime()
  const runs = upcoming(timing, from, Math.floor(count)).map((at) => runOf(timing, at))
  return { description: describeTiming(timing), zone: timing.zone, runs }
}

/** Asked without our tables: what is only looked at needs none. */
async function now({ db }: AppContext): Promise<number> {
  const { rows } = await db.query<{ now: string }>("select extract(epoch from clock_timestamp()) * 1000 as now")
  return Math.floor(Number(rows[0]!.now))
}

function runOf({ zone }: Timing, at: number): PreviewedRun {
  const ahead = zoneOf(zone)!.offset(at)
  const minutes = Math.abs(ahead) / 60_000
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0")
  const offset = `${ahead < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`
  return { at: new Date(at), local: new Date(at + ahead).toISOString().replace(/\.\d+Z$/, offset), offset }
}
