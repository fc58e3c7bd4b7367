// No loss, no phantom: what was acknowledged exists and ends, and nothing else does.
import type { Case, Violation } from "../evidence.ts"

/** Acknowledged pushes whose job does not exist, or has not ended. */
export function loss({ pushed, stories, evidence }: Case): Violation[] {
  const found: Violation[] = []
  const left = new Map(evidence.ledger.left.map((job) => [job.id, job]))
  for (const { id, mark, by } of pushed) {
    const story = stories.get(id)
    const text = `job ${id}, acknowledged to ${by} for ${mark},`
    if (!story) found.push({ rule: "lost", text: `${text} was never stored` })
    else if (!story.final && !left.has(id)) found.push({ rule: "lost", text: `${text} is gone` })
  }
  return found
}

/** When it drains, nothing is left; when it does not, what is left is stuck. */
export function stuck({ evidence }: Case): Violation[] {
  const { left } = evidence.ledger
  if (left.length === 0 && evidence.drainedIn !== undefined) return []
  const some = left.slice(0, 5).map(({ id, state, name }) => `${id} (${name}, ${state})`)
  return [{ rule: "stuck", text: `${left.length} jobs were not finished in time: ${some.join(", ")}` }]
}

/** A job that nobody pushed, that was refused or rolled back, or that one push made twice. */
export function phantoms({ stories, pushes, unpushed, byMark }: Case): Violation[] {
  const found: Violation[] = []
  for (const [mark, ids] of byMark) {
    if (ids.length > 1) found.push({ rule: "phantom", text: `one push, ${mark}, made the jobs ${ids.join(", ")}` })
    if (!pushes.has(mark)) found.push({ rule: "phantom", text: `job ${ids[0]}: nobody noted a push ${mark}` })
    const refusal = unpushed.get(mark)
    if (refusal?.sure) found.push({ rule: "phantom", text: `job ${ids[0]} exists; its push ${mark} ended with ${refusal.code}` }) // prettier-ignore
  }
  for (const { id, mark } of stories.values()) if (mark === null) found.push({ rule: "phantom", text: `job ${id} has no mark` }) // prettier-ignore
  return found
}

/** Jobs that a handler pushed exist exactly if that run is the one that succeeded. */
export function children({ pushes, stories, byMark }: Case): Violation[] {
  const found: Violation[] = []
  for (const { mark, parent } of pushes.values()) {
    const final = parent && stories.get(parent.job)?.final
    if (!final) continue
    const meant = final.state === "succeeded" && final.claims === parent.claims
    const exists = byMark.has(mark)
    if (meant === exists) continue
    const text = `its parent ${parent.job} ${meant ? "succeeded with" : "did not succeed with"} claim ${parent.claims}`
    found.push({ rule: "effect", text: `pushed job ${mark} ${exists ? "exists" : "does not exist"}; ${text}` })
  }
  return found
}
