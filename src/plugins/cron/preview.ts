import type { AppContext } from "../../model/plugin.ts"
import { describeTiming } from "./describe.ts"
import { upcoming, type Timing } from "./occurrences.ts"
import { parseTiming, type TimingOptions } from "./options.ts"
import { readClock } from "./queries.ts"
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
  const from = after === undefined ? await readClock(app.db, app.names) : new Date(after).getTime()
  const runs = upcoming(timing, from, Math.max(1, Math.min(1_000, Math.floor(count)))).map((at) => runOf(timing, at))
  return { description: describeTiming(timing), zone: timing.zone, runs }
}

function runOf({ zone }: Timing, at: number): PreviewedRun {
  const ahead = zoneOf(zone)!.offset(at)
  const minutes = Math.abs(ahead) / 60_000
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0")
  const offset = `${ahead < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`
  return { at: new Date(at), local: new Date(at + ahead).toISOString().replace(/\.\d+Z$/, offset), offset }
}
