// Unique keys: one live job each, and whoever pushed is told the truth.
import type { Case, Violation } from "../evidence.ts"

interface Life {
  readonly id: string
  readonly from: number
  until: number
}

/** How long a commit may take after its last trigger, ms. */
const commits = 3_000

export function keys({ pushed, pushes, evidence }: Case): Violation[] {
  const { found, lives } = livesOf(evidence.ledger.moves)
  for (const { mark, id, duplicate, at, by } of pushed) {
    const push = pushes.get(mark)
    if (push?.key === undefined) continue
    const key = `g|${push.key}`
    const held = (lives.get(key) ?? []).find((life) => life.id === id)
    const text = `${by} was told that job ${id} holds ${key}`
    if (!held) found.push({ rule: "key", text: `${text}; it never did` })
    // A transaction of ours stays open between the push and the acknowledgement.
    else if (held.until + evidence.offset + commits < push.at) found.push({ rule: "key", text: `${text}; it had ended before` }) // prettier-ignore
    else if (held.from + evidence.offset > at + commits) found.push({ rule: "key", text: `${text}; it came later` })
    else if (duplicate === (evidence.ledger.moves.find((move) => move.id === id)?.mark === mark)) found.push({ rule: "key", text: `${text}, and that it was ${duplicate ? "somebody else's" : "its own"}` }) // prettier-ignore
  }
  return found
}

/** Who held each key when; two at once are a violation. */
function livesOf(moves: Case["evidence"]["ledger"]["moves"]) {
  const lives = new Map<string, Life[]>()
  const found: Violation[] = []
  for (const { op, key, id, at } of moves) {
    if (key === null || (op !== "insert" && op !== "delete")) continue
    const all = lives.get(key) ?? []
    lives.set(key, all)
    const open = all.find((life) => life.until === Infinity)
    if (op === "delete") {
      if (open?.id === id) open.until = at
    } else {
      if (open && open.id !== id)
        found.push({ rule: "key", text: `${key} is held by the jobs ${open.id} and ${id} at once` })
      all.push({ id, from: at, until: Infinity })
    }
  }
  return { found, lives }
}
