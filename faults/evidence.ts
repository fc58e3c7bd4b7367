// What the checker judges by, and what it finds.
import type { Ledger, Final, Move } from "./ledger.ts"
import type { Fault } from "./plan.ts"
import type { Entry } from "./record.ts"

/** A fault as it was done. Times of the machine's monotonic clock. */
export interface Struck extends Fault {
  readonly from: number
  readonly until: number
}

export interface Evidence {
  readonly entries: readonly Entry[]
  readonly struck: readonly Struck[]
  readonly ledger: Ledger
  /** Processes that ended without being told to, after they were ready. */
  readonly deserters: readonly { readonly by: string; readonly at: number; readonly how: string }[]
  /** Times at which the harness itself got no time, or the server no answer out. */
  readonly stalls: readonly { readonly from: number; readonly until: number }[]
  /** Machine's monotonic time less the database's, ms. */
  readonly offset: number
  /** How long it took after the faults until nothing was left to do; undefined: it never was. */
  readonly drainedIn: number | undefined
}

export interface Violation {
  readonly rule: string
  readonly text: string
}

/** All about one job. */
export interface Story {
  readonly id: string
  readonly name: string
  readonly mark: string | null
  readonly moves: Move[]
  readonly starts: Entry<"start">[]
  readonly ends: Map<number, Entry<"end">>
  final: Final | undefined
  /** A cancel was asked for: told so, or perhaps. */
  cancel: "no" | "asked" | "perhaps"
}

export interface Case {
  readonly evidence: Evidence
  readonly stories: ReadonlyMap<string, Story>
  readonly pushes: ReadonlyMap<string, Entry<"push">>
  readonly pushed: readonly Entry<"pushed">[]
  readonly unpushed: ReadonlyMap<string, Entry<"unpushed">>
  /** Jobs by the mark of the push that made them. */
  readonly byMark: ReadonlyMap<string, readonly string[]>
}

export function openCase(evidence: Evidence): Case {
  const { entries, ledger } = evidence
  const stories = new Map<string, Story>()
  for (const move of ledger.moves) {
    const story = stories.get(move.id) ?? newStory(move)
    stories.set(move.id, story)
    story.moves.push(move)
  }
  for (const final of ledger.finals) if (stories.has(final.id)) stories.get(final.id)!.final = final
  tellRuns(entries, stories)
  tellCancels(entries, stories)
  const of = <T extends Entry["t"]>(t: T) => entries.filter((one): one is Entry<T> & Entry => one.t === t)
  return {
    evidence,
    stories,
    pushes: new Map(of("push").map((one) => [one.mark, one])),
    pushed: of("pushed"),
    unpushed: new Map(of("unpushed").map((one) => [one.mark, one])),
    byMark: groupedByMark(stories),
  }
}

const newStory = ({ id, name, mark }: Move): Story => ({
  id,
  name,
  mark,
  moves: [],
  starts: [],
  ends: new Map(),
  final: undefined,
  cancel: "no",
})

function tellRuns(entries: readonly Entry[], stories: Map<string, Story>): void {
  for (const one of entries) {
    if (one.t === "start") stories.get(one.id)?.starts.push(one)
    else if (one.t === "end") stories.get(one.id)?.ends.set(one.claims, one)
  }
}

function tellCancels(entries: readonly Entry[], stories: Map<string, Story>): void {
  for (const one of entries) {
    if (one.t !== "cancel" && one.t !== "cancelled") continue
    const story = stories.get(one.id)
    if (!story || story.cancel === "asked") continue
    if (one.t === "cancel") story.cancel = "perhaps"
    else if (one.outcome !== "finished") story.cancel = "asked"
  }
}

function groupedByMark(stories: ReadonlyMap<string, Story>): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const { id, mark } of stories.values()) {
    if (mark !== null) groups.set(mark, [...(groups.get(mark) ?? []), id])
  }
  return groups
}
