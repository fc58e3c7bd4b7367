// What is committed with the end of an attempt happens exactly once, or not at all.
import type { Case, Violation } from "../evidence.ts"

const tally = <T>(list: readonly T[], key: (one: T) => string): Map<string, T[]> => {
  const groups = new Map<string, T[]>()
  for (const one of list) groups.set(key(one), [...(groups.get(key(one)) ?? []), one])
  return groups
}

/** One row per job that succeeded by `job.transaction`, of the claim that succeeded. */
export function transactions({ stories, evidence }: Case): Violation[] {
  const found: Violation[] = []
  const rows = tally(evidence.ledger.effects, (one) => one.job)
  for (const { id, name, final } of stories.values()) {
    if (name !== "effect") continue
    const made = rows.get(id) ?? []
    const meant = final?.state === "succeeded" ? [final.claims] : []
    if (made.map((one) => one.claims).join() === meant.join()) continue
    const text = `job ${id} ended ${final?.state ?? "never"} with claim ${final?.claims}; effects of the claims ${made.map((one) => one.claims).join() || "none"}`
    found.push({ rule: "effect", text })
  }
  return found
}

/** One row per settlement, written by the plugin in its transaction. */
export function saves({ stories, evidence }: Case): Violation[] {
  const found: Violation[] = []
  const rows = tally(evidence.ledger.saves, (one) => one.job)
  for (const story of stories.values()) {
    if (story.name !== "kept") continue
    const made = (rows.get(story.id) ?? []).map(({ claims, state }) => `${claims} ${state}`)
    const meant = story.moves.flatMap((move, index) => settlement(move, story.moves[index + 1]))
    if (made.toSorted().join() === meant.toSorted().join()) continue
    found.push({ rule: "effect", text: `job ${story.id} settled as ${meant.join(", ")}; saved with it: ${made.join(", ")}` }) // prettier-ignore
  }
  return found
}

/** Claim and state, where the attempt's own end is what was written. */
function settlement(
  move: { was: string | null; now: string | null; op: string; claims0: number; crashes0: number; crashes: number },
  next: { now: string | null; crashes: number; attempts: number } | undefined,
): string[] {
  if (move.was !== "running") return []
  if (move.op === "update")
    return move.now === "pending" || move.crashes > move.crashes0 ? [] : [`${move.claims0} ${move.now}`]
  const lost = next === undefined || next.crashes > move.crashes0
  return lost ? [] : [`${move.claims0} ${next.now}`]
}
