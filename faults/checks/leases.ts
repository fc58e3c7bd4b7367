// Leases, in the database's time: one that ran out stays so, and no claim is taken back while it lasts.
import type { Case, Violation } from "../evidence.ts"

export function leases({ evidence }: Case): Violation[] {
  const found: Violation[] = []
  const { leases: moves } = evidence.ledger
  for (const { incarnation, id, before, after, stamp } of moves) {
    if (before === null || after === null || after <= before) continue
    if (before <= stamp) found.push({ rule: "lease", text: `worker ${id} (${incarnation}) renewed a lease that had run out ${Math.round(stamp - before)} ms before` }) // prettier-ignore
  }
  return [...found, ...takenTooEarly(evidence)]
}

function takenTooEarly({ ledger }: Case["evidence"]): Violation[] {
  const found: Violation[] = []
  const ends = new Map<string, { at: number; after: number | null }[]>()
  for (const { incarnation, at, after } of ledger.leases)
    ends.set(incarnation, [...(ends.get(incarnation) ?? []), { at, after }])
  for (const [index, move] of ledger.moves.entries()) {
    if (move.was !== "running" || move.worker === null) continue
    const after = move.op === "delete" ? ledger.moves[index + 1] : move
    if (!after || after.id !== move.id || after.crashes <= move.crashes0) continue
    const last = (ends.get(move.worker) ?? []).findLast((lease) => lease.at <= move.at)
    if (last?.after == null || last.after <= move.at) continue
    found.push({ rule: "lease", text: `job ${move.id} was taken back from a worker whose lease lasted ${Math.round(last.after - move.at)} ms more` }) // prettier-ignore
  }
  return found
}
