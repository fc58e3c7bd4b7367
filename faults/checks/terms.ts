// Leadership: no two terms at once, neither in what the leaders did nor in what they believed.
import type { Case, Violation } from "../evidence.ts"
import type { Entry } from "../record.ts"

export function terms({ evidence }: Case): Violation[] {
  return [...inEffect(evidence.ledger.ticks), ...inBelief(evidence.entries)]
}

/** Once a term has acted, no earlier one does; and a term is one worker's. */
function inEffect(ticks: Case["evidence"]["ledger"]["ticks"]): Violation[] {
  const found: Violation[] = []
  const over = new Set<string>()
  const owners = new Map<string, string>()
  let present: string | undefined
  for (const { term, worker, n } of ticks) {
    const owner = owners.get(term) ?? worker
    owners.set(term, owner)
    if (owner !== worker)
      found.push({ rule: "term", text: `${worker} acted (${n}) in term ${term}, which was ${owner}'s` })
    if (term === present) continue
    if (over.has(term)) found.push({ rule: "term", text: `${worker} acted (${n}) in term ${term}, which was over` })
    if (present !== undefined) over.add(present)
    present = term
  }
  return found
}

/** Each looked whether it led, and noted when. Between two looks of one term nobody else may have led. */
function inBelief(entries: readonly Entry[]): Violation[] {
  const found: Violation[] = []
  const over = new Map<string, Entry<"lead">>()
  let last: Entry<"lead"> | undefined
  for (const one of entries) {
    if (one.t !== "lead") continue
    const successor = over.get(one.term)
    if (successor)
      found.push({ rule: "term", text: `${one.by} believed to lead ${Math.round(one.at - successor.at)} ms after ${successor.by} had begun to` }) // prettier-ignore
    if (last && last.term !== one.term) over.set(last.term, one)
    last = one
  }
  return found
}
