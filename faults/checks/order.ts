// Order where it is promised: what one producer pushed one after the other is claimed so, and is never left behind.
import type { Case, Story, Violation } from "../evidence.ts"
import type { Move } from "../ledger.ts"
import { fullScanWithin } from "../timing.ts"

interface Placed {
  readonly story: Story
  readonly producer: string
  readonly n: number
  readonly claim: Move
}

export function order(opened: Case): Violation[] {
  const lines = new Map<string, Placed[]>()
  for (const story of opened.stories.values()) {
    const placed = placeOf(opened, story)
    if (placed) lines.set(placed.producer, [...(lines.get(placed.producer) ?? []), placed])
  }
  return [...lines.values()].flatMap((line) => {
    line.sort((a, b) => a.n - b.n)
    return [...withinClaims(line), ...leftBehind(line)]
  })
}

function placeOf({ pushes }: Case, story: Story): Placed | undefined {
  const push = story.mark === null ? undefined : pushes.get(story.mark)
  const claim = story.moves.find((move) => move.now === "running")
  if (push?.script.n === undefined || !claim) return undefined
  return { story, producer: push.by, n: push.script.n, claim }
}

/** Jobs of one claim start in their order. */
function withinClaims(line: readonly Placed[]): Violation[] {
  const found: Violation[] = []
  const latest = new Map<string, { at: number; n: number }>()
  for (const { story, n, claim } of line) {
    const start = story.starts.find((run) => run.claims === 1)
    if (claim.token === null || !start) continue
    const before = latest.get(claim.token)
    if (before && start.at < before.at)
      found.push({ rule: "order", text: `job ${story.id}, number ${n} of its line, started before number ${before.n} of one claim` }) // prettier-ignore
    latest.set(claim.token, { at: start.at, n })
  }
  return found
}

/** A claim may pass by what somebody has locked, or what commits late; but not for longer than until the next full scan. */
function leftBehind(line: readonly Placed[]): Violation[] {
  const found: Violation[] = []
  let earliest: Placed | undefined
  for (const placed of line.toReversed()) {
    if (earliest && placed.claim.at - earliest.claim.at > fullScanWithin + 5_000)
      found.push({ rule: "order", text: `number ${placed.n} of a line waited ${Math.round(placed.claim.at - earliest.claim.at)} ms while number ${earliest.n} ran` }) // prettier-ignore
    if (!earliest || placed.claim.at < earliest.claim.at) earliest = placed
  }
  return found
}
