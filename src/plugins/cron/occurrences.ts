import { didYouMean } from "../../lib/nearest.ts"
import { quote } from "../../lib/quote.ts"
import { failure } from "../../model/errors.ts"
import { parseExpression, type Expression } from "./expression.ts"
import { zoneOf, type Zone } from "./zone.ts"

/*
 * When a schedule is due. Between two changes of its zone's offset the wall clock runs like any other; at a change:
 *
 *            every hour (`30 * * * *`)             some hours (`15,45 2 * * *`)
 *   skipped  those times are not, as on the wall    once, at the first moment after the gap, however many fell into it
 *   repeated both times                             the first time only
 *
 * So a daily schedule runs every day exactly once, and an hourly one every sixty minutes. Intervals (`every`) know no wall
 * clock: they are counted from their start, or from 1970.
 */

/** What says when; times in milliseconds since 1970. */
export interface Timing {
  readonly cron?: string | undefined
  /** Milliseconds. */
  readonly every?: number | undefined
  readonly zone: string
  /** Not before. */
  readonly start?: number | undefined
  /** Not after. */
  readonly end?: number | undefined
}

/**
 * The first time that it is due after a moment; undefined: never again.
 *
 * @throws MILLRACE_BAD_SCHEDULE when the expression cannot be read or the zone is unknown.
 */
export function nextDue(timing: Timing, after: number): number | undefined {
  const from = timing.start === undefined ? after : Math.max(after, timing.start - 1)
  const next = timing.every === undefined ? nextCron(timing, from) : nextEvery(timing, from, timing.every)
  return next === undefined || (timing.end !== undefined && next > timing.end) || next > latest ? undefined : next
}

const latest = Date.UTC(9999, 11, 31)

function nextEvery({ start = 0 }: Timing, after: number, every: number): number {
  return start + (Math.floor((after - start) / every) + 1) * every
}

function nextCron({ cron, zone }: Timing, after: number): number | undefined {
  const expression = parseExpression(cron!)
  const known = zoneOf(zone)
  if (!known) throw unknownZone(zone)
  return nextInstant(expression, known, after)
}

export function nextInstant(expression: Expression, zone: Zone, after: number): number | undefined {
  const { everyHour } = expression
  let from = after
  let offset = zone.offset(from)
  let wall = expression.nextWall(everyHour ? from + offset : wallDone(zone, from, offset))
  while (wall !== undefined) {
    const change = zone.firstChange(from, wall - offset)
    if (change === undefined) return wall - offset
    const changed = zone.offset(change)
    if (everyHour) wall = expression.nextWall(change + changed - 1)
    else if (wall < change + changed) return change // it fell into the gap
    from = change
    offset = changed
  }
  return undefined
}

/** No wall clock was ever set back by more. */
const longestOverlap = 2 * 86_400_000

/** The wall clock up to which everything is done: in a repeated hour that is its end, since its times were due before. */
function wallDone(zone: Zone, from: number, offset: number): number {
  const change =
    zone.offset(from - longestOverlap) === offset ? undefined : zone.firstChange(from - longestOverlap, from)
  if (change === undefined) return from + offset
  return Math.max(from + offset, change + zone.offset(change - 1) - 1)
}

export function unknownZone(zone: string) {
  const near = didYouMean(zone, Intl.supportedValuesOf("timeZone"))
  return failure(
    "MILLRACE_BAD_SCHEDULE",
    `${quote(zone)} is not a time zone.${near} Give an IANA name such as "Europe/Berlin", "America/New_York" or "UTC".`,
  )
}

/** The next times, at most `count`. */
export function upcoming(timing: Timing, after: number, count: number): number[] {
  const times: number[] = []
  for (let at = nextDue(timing, after); at !== undefined && times.length < count; at = nextDue(timing, at))
    times.push(at)
  return times
}

/** A time as it is bound; undefined stays so. */
export const isoOf = (at: number | undefined): string | undefined =>
  at === undefined ? undefined : new Date(at).toISOString()
