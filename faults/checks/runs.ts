// Runs of handlers: each belongs to a claim that was made, is the only one of its claim, and comes after another run of
// the same job only for a reason.
import type { Case, Evidence, Story, Struck, Violation } from "../evidence.ts"
import type { Move } from "../ledger.ts"
import { slotOf, type Entry } from "../record.ts"
import { timing } from "../timing.ts"

/** A run that a later one repeats, although its handler neither failed nor snoozed. */
export interface Rerun {
  readonly id: string
  /** What explains it; undefined: nothing that was done to the system. */
  readonly by: string | undefined
  /** From what happened until it was taken back from its lost worker, ms. */
  readonly took: number | undefined
}

/** Starts without a claim, and claims that started twice. */
export function starts({ stories, evidence }: Case): Violation[] {
  const found: Violation[] = []
  for (const story of stories.values()) {
    const claimed = new Map<number, Move>()
    for (const move of story.moves) if (move.op === "update" && move.now === "running") claimed.set(move.claims, move)
    const seen = new Set<number>()
    for (const { claims, by, at } of story.starts) {
      const claim = claimed.get(claims)
      if (!claim) found.push({ rule: "claim", text: `${by} ran job ${story.id} with claim ${claims}, which was never made` })
      else if (claim.at + evidence.offset > at + 250) found.push({ rule: "claim", text: `${by} ran job ${story.id} before its claim ${claims} was made` }) // prettier-ignore
      else if (claim.due > claim.at + 1) found.push({ rule: "early", text: `job ${story.id} was claimed ${Math.round(claim.due - claim.at)} ms too early` }) // prettier-ignore
      if (seen.has(claims)) found.push({ rule: "claim", text: `claim ${claims} of job ${story.id} ran twice` })
      seen.add(claims)
    }
  }
  return found
}

/** Every repetition, and what explains it. */
export function reruns({ stories, evidence }: Case): Rerun[] {
  const costly = costlyFaults(evidence)
  return [...stories.values()].flatMap((story) => rerunsOf(story, evidence, costly))
}

function rerunsOf(story: Story, evidence: Evidence, costly: readonly Costly[]): Rerun[] {
  const found: Rerun[] = []
  const runs = story.starts.toSorted((a, b) => a.claims - b.claims)
  for (const [index, run] of runs.entries()) {
    const next = runs[index + 1]
    if (!next) break
    const ended = endOfClaim(story, run.claims)
    if (ended && asItself(story, run, ended)) continue
    const until = ended ? ended.at + evidence.offset : next.at
    const cause = causeOf(run, until, costly)
    const lost = ended !== undefined && ended.crashes > ended.crashes0
    found.push({
      id: story.id,
      by: cause?.kind,
      took: cause && lost ? until - Math.max(cause.from, run.at) : undefined,
    })
  }
  return found
}

/** The move that ended this claim. */
const endOfClaim = ({ moves }: Story, claims: number): Move | undefined =>
  moves.find((move) => move.was === "running" && move.claims0 === claims)

/** It failed, was over its time or snoozed, and its handler said so. */
function asItself({ ends }: Story, { claims }: Entry<"start">, move: Move): boolean {
  const end = ends.get(claims)
  if (move.now === "retrying") return end?.how === "throw" || move.name === "over"
  return move.now === "scheduled" && end?.how === "snooze"
}

interface Costly {
  readonly kind: string
  /** Undefined: everybody. */
  readonly slot: string | undefined
  readonly from: number
  readonly until: number
}

const always = new Set(["kill", "freeze", "stop"])
const whenLong = new Set(["refuse", "silence", "deafen", "mute", "slow"])

/** Faults that may end a claim. A cut, a lost reply or a short freeze must not. */
function costlyFaults({ struck, entries, stalls }: Evidence): Costly[] {
  const faults = struck.filter(costs).map(({ kind, target, from, until }): Costly => ({ kind, slot: target === "server" ? undefined : target, from, until })) // prettier-ignore
  const died = entries.flatMap((one): Costly[] => (one.t === "die" ? [{ kind: "die", slot: slotOf(one.by), from: one.at, until: one.at }] : [])) // prettier-ignore
  const paused = entries.flatMap((one): Costly[] => (one.t === "stall" ? [{ kind: "stall", slot: slotOf(one.by), from: one.at - one.ms, until: one.at }] : [])) // prettier-ignore
  const machine = stalls.map((one): Costly => ({ kind: "stall", slot: undefined, ...one }))
  return [...faults, ...died, ...paused, ...machine]
}

function costs({ kind, target, from, until }: Struck): boolean {
  if (target === "server") return kind === "crash" || kind === "restart"
  return always.has(kind) || (whenLong.has(kind) && until - from > timing.lease / 2)
}

/** Statements under way time out, and pauses between attempts add up, after a fault is over. */
const tail = timing.queryTimeout + timing.lease

/** A fault of this run's process between its start (or the renewal before it) and the end of its claim. Ours before the machine's. */
function causeOf(run: Entry<"start">, until: number, costly: readonly Costly[]): Costly | undefined {
  const slot = slotOf(run.by)
  const fits = costly.filter(
    (one) =>
      (one.slot === undefined || one.slot === slot) &&
      one.from <= until + 50 &&
      one.until + tail >= Math.min(run.at, until - timing.lease),
  )
  return fits.find((one) => one.kind !== "stall") ?? fits[0]
}

export const unexplained = (all: readonly Rerun[]): Violation[] =>
  all
    .filter(({ by }) => by === undefined)
    .map(({ id }) => ({ rule: "unexplained", text: `job ${id} ran again, and nothing that was done explains it` }))
