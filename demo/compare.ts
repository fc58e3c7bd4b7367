// Whether two passes agree, and about which files they do not.
import type { Measurement } from "./measure.ts"
import type { Measured } from "./plain-pass.ts"
import type { StoredJob, Totals } from "./totals.ts"

/** Undefined: not met; null: not readable. */
type Seen = Measurement | null | undefined

export interface Difference {
  file: string
  job: Seen
  plain: Seen
}

export const agree = (one: Totals, other: Totals): boolean =>
  (Object.keys(one) as (keyof Totals)[]).every((key) => one[key] === other[key])

export function differences(jobs: ReadonlyMap<string, StoredJob>, plain: readonly Measured[]): Difference[] {
  const seen = new Map(plain.map(({ file, found }) => [file, found ?? null]))
  const files = new Set([...jobs.keys(), ...seen.keys()])
  return [...files]
    .map((file) => ({ file, job: jobs.get(file)?.result, plain: seen.get(file) }))
    .filter(({ job, plain }) => describe(job) !== describe(plain))
}

export const explain = ({ file, job, plain }: Difference): string =>
  `${file}: the job says ${describe(job)}; the plain loop ${describe(plain)}`

function describe(found: Seen): string {
  if (found === undefined) return "no such file"
  if (found === null) return "unreadable"
  return `bytes ${found.bytes}, lines ${found.lines}, gzip ${found.gzip}, SHA-256 ${found.sha256}`
}
