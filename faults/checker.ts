// Proves, from what was noted and what the database tells, that the promises were kept; or says where they were not.
import { saves, transactions } from "./checks/effects.ts"
import { ends, histories } from "./checks/histories.ts"
import { keys } from "./checks/keys.ts"
import { leases } from "./checks/leases.ts"
import { children, loss, phantoms, stuck } from "./checks/loss.ts"
import { order } from "./checks/order.ts"
import { reruns, starts, unexplained } from "./checks/runs.ts"
import { terms } from "./checks/terms.ts"
import { openCase, type Case, type Evidence, type Violation } from "./evidence.ts"
import { maxCrashes } from "./timing.ts"

export interface Verdict {
  readonly violations: readonly Violation[]
  readonly jobs: number
  readonly runs: number
  readonly lost: number
  /** Runs that repeat an earlier one, by what explains them. */
  readonly reruns: Readonly<Record<string, number>>
  readonly unexplainedDuplicates: number
  /** From a fault until the job that it interrupted was taken back and ready to be claimed, ms. */
  readonly recoveries: readonly number[]
  readonly drainedIn: number | undefined
}

export function check(evidence: Evidence): Verdict {
  const opened = openCase(evidence)
  const again = reruns(opened)
  const lost = loss(opened)
  const other = [
    stuck,
    phantoms,
    children,
    histories,
    starts,
    transactions,
    saves,
    keys,
    leases,
    terms,
    order,
    deserted,
  ]
  const violations = [
    ...lost,
    ...unexplained(again),
    ...other.flatMap((rule) => rule(opened)),
    ...ends(opened, maxCrashes),
    ...stuck(opened), // last: it says least
  ]
  const counted: Record<string, number> = {}
  for (const { by = "nothing" } of again) counted[by] = (counted[by] ?? 0) + 1
  return {
    violations,
    jobs: opened.stories.size,
    runs: evidence.entries.filter((one) => one.t === "start").length,
    lost: lost.length,
    reruns: counted,
    unexplainedDuplicates: counted.nothing ?? 0,
    recoveries: again.flatMap(({ took }) => (took === undefined ? [] : [took])),
    drainedIn: evidence.drainedIn,
  }
}

/** No trouble with the database ends a worker that was up. */
const deserted = ({ evidence }: Case): Violation[] =>
  evidence.deserters.map(({ by, how }) => ({ rule: "deserted", text: `${by} ended by itself: ${how}` }))
