import { nextDue, type Timing } from "./occurrences.ts"

/*
 * What is to be done about a schedule that is due, decided from its row and the database's clock alone, so that every
 * worker decides alike. Which of them does it, the row of the tick decides.
 */

export type MissedPolicy = "skip" | "once" | "all"

export interface DueSchedule extends Timing {
  readonly key: string
  /** The oldest tick that nothing was done about. */
  readonly next: number
  /** Milliseconds by which a tick may be put off. */
  readonly jitter: number
  readonly missed: MissedPolicy
  /** Most ticks that are made up for under `all`. */
  readonly missedLimit: number
  /** A tick that is later than this was missed, ms. */
  readonly grace: number
}

export interface PlannedTick {
  readonly at: number
  /** False: it was missed, and is only written down. */
  readonly push: boolean
  /** Ticks before it that came to nothing. */
  readonly missed: number
}

export interface Plan {
  readonly ticks: readonly PlannedTick[]
  readonly next: number | undefined
  /** When to act on `next`. */
  readonly runAt: number | undefined
}

/** @throws MILLRACE_BAD_SCHEDULE. */
export function plan(schedule: DueSchedule, now: number): Plan {
  const { latest, count } = dueTicks(schedule, now)
  const next = nextDue(schedule, latest.at(-1) ?? schedule.next - 1)
  return { ticks: choose(schedule, latest, count, now), next, runAt: runAt(schedule, next) }
}

export const runAt = (schedule: Pick<DueSchedule, "key" | "jitter">, at: number | undefined): number | undefined =>
  at === undefined ? undefined : at + jitterOf(schedule, at)

function choose(schedule: DueSchedule, latest: readonly number[], count: number, now: number): PlannedTick[] {
  const last = latest.at(-1)
  if (last === undefined) return []
  if (schedule.missed === "all") {
    const dropped = count - latest.length
    return latest.map((at, index) => ({ at, push: true, missed: index === 0 ? dropped : 0 }))
  }
  const late = now - last - jitterOf(schedule, last)
  return [{ at: last, push: schedule.missed === "once" || late <= schedule.grace, missed: count - 1 }]
}

/** Ticks are counted up to here; of more, only the latest are looked for. */
const mostCounted = 10_000

/** The latest ticks that are due, as many as may be made up for, and how many are due in all (at least). */
function dueTicks(schedule: DueSchedule, now: number): { latest: number[]; count: number } {
  const most = schedule.missed === "all" ? schedule.missedLimit : 1
  const ticks: number[] = []
  let at: number | undefined = schedule.next
  for (; at !== undefined && isDue(schedule, at, now); at = nextDue(schedule, at)) {
    if (ticks.push(at) === mostCounted) return { latest: latestTicks(schedule, now, most), count: mostCounted }
  }
  return { latest: ticks.slice(-most), count: ticks.length }
}

const isDue = (schedule: DueSchedule, at: number, now: number): boolean => at + jitterOf(schedule, at) <= now

/** Looks back from now in growing steps, for a schedule that nobody has looked after for very many ticks. */
function latestTicks(schedule: DueSchedule, now: number, most: number): number[] {
  for (let span = 60_000; ; span *= 2) {
    const from = Math.max(schedule.next - 1, now - span)
    const ticks: number[] = []
    for (let at = nextDue(schedule, from); at !== undefined && isDue(schedule, at, now); at = nextDue(schedule, at))
      ticks.push(at)
    if (ticks.length >= most || from < schedule.next) return ticks.slice(-most)
  }
}

/** The same for every worker, and spread evenly: a hash (FNV-1a) of the key and the tick. */
function jitterOf({ key, jitter }: Pick<DueSchedule, "key" | "jitter">, at: number): number {
  if (jitter === 0) return 0
  let hash = 0x811c9dc5
  for (const character of `${at} ${key}`) hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193)
  return (((hash >>> 0) / 2 ** 32) * (jitter + 1)) | 0
}
