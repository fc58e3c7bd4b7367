import { seeded } from "./random.ts"
import { Store, type Mutant } from "./store.ts"
import { World, type Faults } from "./world.ts"
import { ModelWorker, type Crew } from "./worker.ts"

export const faults: Faults = {
  loseRequest: 0.02,
  loseReply: 0.03,
  delay: 0.05,
  freeze: 0.0015,
  kill: 0.0004,
  longestFreeze: 1_500,
}

export interface Outcome {
  readonly seed: number
  readonly steps: number
  readonly jobs: number
  readonly injected: number
  /** What broke, with the newest steps; undefined: everything held. */
  readonly broken: string | undefined
}

const workers = 3
const faultyFor = 6_000
const drainWithin = 30_000

/** One run from a seed: jobs are pushed while faults strike, then the faults stop and everything must drain. */
export function run(seed: number, mutant?: Mutant): Outcome {
  const random = seeded(seed)
  const world = new World(random, faults)
  const store = new Store(world, mutant)
  let names = 0
  const crew: Crew = { world, store, random, mutant, longest: 80, fresh: () => `t${++names}` }
  const members = Array.from({ length: workers }, (_, index) => new ModelWorker(`worker ${index + 1}`, crew))
  const pushed: number[] = []
  planPushes(crew, pushed, () => members)
  const check = () => firstBroken(store, members)
  let broken: string | undefined
  for (let time = 20; time <= faultyFor && !broken; time += 20) {
    world.runUntil(time)
    for (const [index, member] of members.entries()) {
      if (member.stopped || !member.process.alive) members[index] = new ModelWorker(`worker ${++names}`, crew)
      else if (random.chance(0.002)) member.stopping = true
    }
    broken = check()
  }
  world.faulty = false
  for (let time = faultyFor; time <= faultyFor + drainWithin && !broken && store.jobs.size > 0; time += 20) {
    world.runUntil(time)
    broken = check()
  }
  broken ??= atTheEnd(store, pushed)
  const text = broken && `seed ${seed}: ${broken}\n${world.trace.join("\n")}`
  return { seed, steps: world.steps, jobs: pushed.length, injected: world.injected, broken: text }
}

/** A producer that sends each push again until it is confirmed. */
function planPushes({ world, store, random }: Crew, pushed: number[], members: () => readonly ModelWorker[]): void {
  for (let id = 1; id <= 150; id++) {
    const began = random.between(0, faultyFor - 500)
    const attempt = () => {
      store.push(id, began)
      if (random.chance(0.03)) return world.at(world.now + 60, attempt) // the reply was lost
      pushed.push(id)
      for (const member of members()) if (random.chance(0.7)) member.wake()
    }
    // Now and then a transaction commits long after it began: its job lies behind what was claimed since.
    world.at(began + (random.chance(0.1) ? random.between(0, 400) : 0), attempt)
  }
}

function firstBroken(store: Store, members: readonly ModelWorker[]): string | undefined {
  if (store.broken.length > 0) return store.broken[0]
  const trusting = members.find((member) => member.misplacedTrust !== undefined)
  if (trusting)
    return `${trusting.process.name} trusts its claim of job ${trusting.misplacedTrust}, which was taken back`
  const leaders = members.filter((member) => member.leads)
  return leaders.length > 1
    ? `${leaders.map((one) => one.process.name).join(" and ")} lead at the same time`
    : undefined
}

function atTheEnd(store: Store, pushed: readonly number[]): string | undefined {
  const left = [...store.jobs.values()]
  if (left.length > 0) return `${left.length} jobs never finished, such as job ${left[0]!.id} (${left[0]!.state})`
  const lost = pushed.filter((id) => !store.history.has(id))
  if (lost.length > 0) return `job ${lost[0]} was confirmed and is nowhere`
  const twice = [...store.effects].find(([, times]) => times > 1)
  if (twice) return `the effect of job ${twice[0]} happened ${twice[1]} times`
  return undefined
}
