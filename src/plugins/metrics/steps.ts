import { milliseconds, type Duration } from "../../lib/duration.ts"
import { failure } from "../../model/errors.ts"

/** The steps of time that points are kept in, and for how long. */

export type Resolution = "1m" | "5m" | "1h" | "1d"

export const steps: Readonly<Record<Resolution, number>> = { "1m": 60, "5m": 300, "1h": 3_600, "1d": 86_400 }

export const isResolution = (value: unknown): value is Resolution =>
  typeof value === "string" && Object.hasOwn(steps, value)

export type Keep = Readonly<Partial<Record<Resolution, Duration>>>

export const usualKeep = { "1m": "1d", "5m": "7d", "1h": "90d", "1d": "730d" } as const satisfies Keep

/** Seconds to keep points of each step. @throws MILLRACE_BAD_OPTION, MILLRACE_BAD_DURATION. */
export function parseKeep(given: Keep): Readonly<Record<Resolution, number>> {
  const [unknown] = Object.keys(given).filter((name) => !isResolution(name))
  if (unknown !== undefined)
    throw failure("MILLRACE_BAD_OPTION", `metrics.keep: there is no step "${unknown}"; there are 1m, 5m, 1h and 1d.`)
  const entries = Object.entries({ ...usualKeep, ...given }).map(([name, age]) => {
    const seconds = milliseconds(age, `metrics.keep.${name}`) / 1_000
    if (seconds < steps[name as Resolution])
      throw failure("MILLRACE_BAD_OPTION", `metrics.keep.${name}: ${age} is shorter than the step itself.`)
    return [name, seconds]
  })
  return Object.freeze(Object.fromEntries(entries) as Record<Resolution, number>)
}
