/*
 * Time zones as steps of offsets. Only the offset of an instant comes from the platform (Intl); everything else about
 * daylight saving is decided here and in occurrences.ts, so that what we promise does not depend on a library.
 */

/** A time zone: how far its wall clock is ahead of UTC. All times in milliseconds. */
export interface Zone {
  readonly name: string
  offset(instant: number): number
  /** The first instant in (from, to] at which another offset holds than at `from`. */
  firstChange(from: number, to: number): number | undefined
}

const zones = new Map<string, Zone | undefined>()

/** Undefined for one that this platform does not know. */
export function zoneOf(name: string): Zone | undefined {
  if (!zones.has(name)) zones.set(name, name === "UTC" ? utc : makeZone(name))
  return zones.get(name)
}

const utc: Zone = { name: "UTC", offset: () => 0, firstChange: () => undefined }

function makeZone(name: string): Zone | undefined {
  const format = formatter(name)
  if (!format) return undefined
  const offset = (instant: number): number => {
    const part = format.formatToParts(instant).find(({ type }) => type === "timeZoneName")?.value ?? ""
    const [, sign, hours = "0", minutes = "0", seconds = "0"] = /GMT([+-])(\d+):(\d+)(?::(\d+))?/.exec(part) ?? []
    const size = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000
    return sign === "-" ? -size : size
  }
  return { name, offset, firstChange: (from, to) => firstChange(offset, from, to) }
}

function formatter(name: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" })
  } catch {
    return undefined
  }
}

/** No zone has changed twice, and back, within so little time. */
const step = 7 * 86_400_000

function firstChange(offset: Zone["offset"], from: number, to: number): number | undefined {
  const before = offset(from)
  for (let low = from; low < to; low += step) {
    let high = Math.min(low + step, to)
    if (offset(high) === before) continue
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (offset(middle) === before) low = middle
      else high = middle
    }
    return high
  }
  return undefined
}
