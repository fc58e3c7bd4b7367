// Legal histories: every move stands in the table of states, a claim is ended once and by its own token, and what is
// counted grows exactly when it should.
import type { Case, Story, Violation } from "../evidence.ts"
import type { Move } from "../ledger.ts"

/** Not the product's own table: the checker must not inherit its mistakes. */
const legal = new Set([
  "new>pending", "new>scheduled", "scheduled>pending", "retrying>pending", "pending>running", "blocked>pending",
  "running>pending", "running>scheduled", "running>retrying", "running>blocked", "running>succeeded", "running>failed",
  "running>cancelled", "pending>cancelled", "scheduled>cancelled", "retrying>cancelled", "blocked>cancelled",
]) // prettier-ignore

const final = (state: string) => state === "succeeded" || state === "failed" || state === "cancelled"

/** What became of a job in one transaction: a deletion and the row in the history that goes with it are one step. */
interface Step {
  readonly from: string
  readonly to: string
  readonly before: Move
  readonly after: Move
}

function stepsOf(story: Story): Step[] {
  const steps: Step[] = []
  let gone: Move | undefined
  for (const move of story.moves) {
    if (move.op === "delete") gone = move
    else if (move.op === "history") {
      if (gone) steps.push({ from: gone.was!, to: move.now!, before: gone, after: move })
      else steps.push({ from: "new", to: move.now!, before: move, after: move })
      gone = undefined
    } else steps.push({ from: move.op === "insert" ? "new" : move.was!, to: move.now!, before: move, after: move })
  }
  return steps
}

export function histories({ stories }: Case): Violation[] {
  return [...stories.values()].flatMap((story) => [...moves(story), ...counts(story)])
}

function moves(story: Story): Violation[] {
  const found: Violation[] = []
  let state = "new"
  for (const { from, to, after } of stepsOf(story)) {
    // A resend may insert a job that has finished, and takes it back before anyone can see it.
    if (from === "new" && final(state)) continue
    const text = `job ${story.id} (${story.name}) went from ${from} to ${to} at claim ${after.claims}`
    if (from !== state) found.push({ rule: "history", text: `${text}, but was ${state}` })
    else if (from !== to && !legal.has(`${from}>${to}`)) found.push({ rule: "history", text })
    else if (from === to) found.push({ rule: "history", text: `${text}: the same state, another claim` })
    state = to
  }
  return found
}

/** Claims by one with each claim; attempts by one at the end of an attempt; crashes by one when it is taken back. */
function counts(story: Story): Violation[] {
  const found: Violation[] = []
  for (const { from, to, before, after } of stepsOf(story)) {
    if (from === "new") continue
    const claims = after.claims - before.claims0
    const attempts = after.attempts - before.attempts0
    const crashes = after.crashes - before.crashes0
    if (claims !== (to === "running" ? 1 : 0)) found.push(wrong(story, "claims", from, to, claims))
    if (!attemptsMayGrow(from, to, crashes).includes(attempts)) found.push(wrong(story, "attempts", from, to, attempts))
    if (crashes < 0 || crashes > 1 || (crashes === 1 && from !== "running")) found.push(wrong(story, "crashes", from, to, crashes)) // prettier-ignore
  }
  return found
}

function attemptsMayGrow(from: string, to: string, crashes: number): number[] {
  if (from !== "running" || crashes === 1 || to === "pending" || to === "scheduled" || to === "blocked") return [0]
  // A job that was to be cancelled before it started, or whose claim was handed back, was no attempt.
  return to === "cancelled" ? [0, 1] : [1]
}

const wrong = ({ id, name }: Story, what: string, from: string, to: string, by: number): Violation => ({
  rule: "count",
  text: `job ${id} (${name}): ${what} changed by ${by} on its way from ${from} to ${to}`,
})

/** What the end of a job must be, by its script. */
export function ends({ stories, pushes }: Case, maxCrashes: number): Violation[] {
  const found: Violation[] = []
  for (const story of stories.values()) {
    const push = story.mark === null ? undefined : pushes.get(story.mark)
    const { final: end } = story
    if (!push || !end) continue
    const say = (text: string) => found.push({ rule: "end", text: `job ${story.id} (${story.name}, ${push.mark}) ${text}` }) // prettier-ignore
    if (story.cancel === "asked" && end.state !== "cancelled") say(`was asked to be cancelled and ended ${end.state}`)
    if (end.state === "cancelled" && story.cancel === "no") say("ended cancelled; nobody asked")
    if (end.crashes > maxCrashes) say(`was lost ${end.crashes} times`)
    if (end.state === "succeeded") for (const text of success(story, push.script, end)) say(text)
    if (end.state === "failed" && end.crashes < maxCrashes && end.attempts < end.max_attempts)
      say(`failed after ${end.attempts} of ${end.max_attempts} attempts and ${end.crashes} crashes`)
  }
  return found
}

/** Only its own handler can make these fail, so how often it was to fail says how many attempts there were. */
const exact = new Set(["task", "kept", "parent", "line", "single"])

function success(
  { name, ends: ended }: Story,
  script: { readonly fails: number; readonly snoozes: number },
  end: NonNullable<Story["final"]>,
): string[] {
  const found: string[] = []
  const said = end.result?.claims
  if (said !== end.claims) found.push(`was claim ${end.claims}'s to end, and holds the result of claim ${said}`)
  if (exact.has(name) && end.attempts !== script.fails + 1)
    found.push(`took ${end.attempts} attempts, of which ${script.fails} were to fail`)
  if (end.snoozed !== script.snoozes && name !== "effect") found.push(`snoozed ${end.snoozed} of ${script.snoozes} times`) // prettier-ignore
  const last = ended.get(end.claims)
  if (last && last.how !== "return") found.push(`succeeded with claim ${end.claims}, whose handler did not return`)
  return found
}
