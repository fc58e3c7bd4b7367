// The schedule of a round's faults: a pure function of the seed, so that a round can be repeated.
import { createHash } from "node:crypto"
import { seeded, type Random } from "../test/model/random.ts"
import type { FaultKind, Profile } from "./profiles.ts"
import { timing } from "./timing.ts"

export interface Fault {
  /** Since the round began, ms. */
  readonly at: number
  readonly for: number
  readonly kind: FaultKind
  /** A slot ("w0", "p1"), or "server". */
  readonly target: string
  /** It ends with a reset of what it concerned, and not with its healing. */
  readonly cuts: boolean
  /** Which statement's reply is lost, and how. */
  readonly reply?: { readonly of: Lost; readonly how: "cut" | "drop" | "late" } | undefined
}

export type Lost = "cycle" | "push" | "commit" | "renew"

const { lease } = timing

/** Long ones cost a lease, short ones must not. */
const long = (random: Random) => random.between(1.15 * lease, 1.7 * lease)
const short = (random: Random) => random.between(50, 0.25 * lease)
const either = (random: Random) => (random.chance(0.5) ? long(random) : short(random))

const lasts: Readonly<Record<FaultKind, (random: Random) => number>> = {
  kill: (random) => random.between(50, 900),
  freeze: long,
  doze: short,
  stop: () => 0,
  cut: () => 0,
  refuse: either,
  silence: either,
  deafen: either,
  mute: either,
  slow: (random) => random.between(300, 2_000),
  lose: (random) => random.between(100, 900),
  listener: (random) => random.between(500, 6_000),
  terminate: () => 0,
  lock: (random) => random.between(100, 1_200),
  crash: (random) => random.between(50, 400),
  restart: (random) => random.between(50, 400),
}

/** Until a process that was ended works again, ms; nothing is done to it meanwhile. */
const recovers: Partial<Record<FaultKind, number>> = { kill: 1_500, stop: 2_500, freeze: 800, crash: 1_500, restart: 1_500 } // prettier-ignore

export function planFaults(profile: Profile, seed: number, ms: number): Fault[] {
  const faults: Fault[] = []
  const slots = [...slotsOf("w", profile.workers), ...slotsOf("p", profile.pushers)]
  for (const [index, target] of slots.entries()) {
    const kinds = target.startsWith("p") ? withoutSignals(profile.faults) : profile.faults
    faults.push(...planTarget(seeded(seed * 31 + index), target, kinds, profile.pause, ms, profile.locks))
  }
  const pause = profile.serverPause ?? profile.pause
  faults.push(...planTarget(seeded(seed * 31 + 97), "server", profile.serverFaults ?? {}, pause, ms, profile.locks))
  return faults.sort((a, b) => a.at - b.at)
}

const slotsOf = (letter: string, count: number) => Array.from({ length: count }, (_, n) => `${letter}${n}`)

/** Pushers are killed and cut off; freezing them proves nothing. */
function withoutSignals(kinds: Profile["faults"]): Profile["faults"] {
  const { kill, cut, refuse, silence, deafen, mute, slow, lose } = kinds
  const all = { kill, cut, refuse, silence, deafen, mute, slow, lose }
  return Object.fromEntries(Object.entries(all).filter(([, weight]) => weight !== undefined))
}

function planTarget(
  random: Random,
  target: string,
  kinds: Profile["faults"],
  [least, most]: readonly [number, number],
  ms: number,
  locks: Profile["locks"],
): Fault[] {
  const faults: Fault[] = []
  if (Object.keys(kinds).length === 0) return faults
  for (let at = random.between(least, most); at < ms;) {
    const kind = weighted(random, kinds)
    const fault: Fault = {
      at,
      for: Math.round(kind === "lock" && locks ? random.between(...locks) : lasts[kind](random)),
      kind,
      target,
      cuts: random.chance(0.4),
      reply: kind === "lose" ? { of: lostBy(random, target), how: random.pick(["cut", "drop", "late"]) } : undefined,
    }
    faults.push(fault)
    at += fault.for + (recovers[kind] ?? 1_000) + random.between(least, most)
  }
  return faults
}

function lostBy(random: Random, target: string): Lost {
  if (target.startsWith("p")) return random.pick(["push", "push", "commit"])
  return random.pick(["cycle", "cycle", "cycle", "commit", "renew"])
}

export function weighted<K extends string>(random: Random, weights: Partial<Record<K, number>>): K {
  const entries = Object.entries(weights) as [K, number][]
  let left = random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [kind, weight] of entries) if ((left -= weight) < 0) return kind
  return entries.at(-1)![0]
}

/** Two schedules are the same exactly when their digests are. */
export const digest = (faults: readonly Fault[]): string =>
  createHash("sha256").update(JSON.stringify(faults)).digest("hex").slice(0, 16)
