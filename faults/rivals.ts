// The same jobs and the same faults (SIGKILL, SIGSTOP, restarts) for this system and its peers. What can be seen from
// outside is counted: jobs that were not finished in time, second runs, and stored results that are not the last run's.
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import pg from "pg"
import { installPeer } from "../bench/peers.ts"
import { seeded } from "../test/model/random.ts"
import { startPostgres, type Postgres } from "../tools/postgres.mjs"
import { pause, Slot } from "./crew.ts"
import { newDatabase } from "./database.ts"
import type { Struck } from "./evidence.ts"
import { planFaults, type Fault } from "./plan.ts"
import type { Profile } from "./profiles.ts"
import { readRecords, slotOf, type Entry } from "./record.ts"
import { sides, type Side, type SideName } from "./sides.ts"
import { StallWatch, type Stall } from "./stalls.ts"
import { stopLimit } from "./strike.ts"
import { machineTime } from "./timing.ts"

const workload = { name: "rivals", promise: "", workers: 3, pushers: 0, faults: { kill: 2, freeze: 2, stop: 2 }, pause: [2_500, 6_000], doings: {} } as const satisfies Profile // prettier-ignore
const perSecond = 30
const longestDrain = 120_000

interface Standing {
  readonly system: SideName
  readonly setting: string
  readonly jobs: number
  readonly faults: number
  /** Not finished two minutes after the faults. */
  readonly unfinished: number
  readonly runs: number
  /** Runs beyond a job's first, of which these no fault explains. */
  readonly secondRuns: number
  readonly unexplained: number
  /** Runs that nothing explains but that the machine had no time for its processes. */
  readonly stalled: number
  /** The stored result is an earlier run's than the last one that began. Undefined: it stores none. */
  readonly staleResults: number | undefined
  /** From the fault to the next run of the job, ms. */
  readonly p50: number | undefined
  readonly p99: number | undefined
}

export async function compare({
  seed,
  seconds,
  json,
}: {
  seed: number
  seconds: number
  json: boolean
}): Promise<number> {
  const standings: Standing[] = []
  const server = await startPostgres({ settings: { max_connections: "300" } })
  try {
    for (const system of Object.keys(sides) as SideName[]) {
      if (system !== "millrace") await installPeer(system)
      standings.push(await stand(server, system, seed, 1_000 * seconds))
      process.stderr.write(`${JSON.stringify(standings.at(-1))}\n`)
    }
  } finally {
    await server.stop()
  }
  process.stdout.write(
    json ? `${JSON.stringify(standings, null, 2)}\n` : `${standings.map((one) => JSON.stringify(one)).join("\n")}\n`,
  )
  return 0
}

async function stand(server: Postgres, system: SideName, seed: number, ms: number): Promise<Standing> {
  const side = sides[system]
  const { url, drop } = await newDatabase(server.url)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-rivals-"))
  const watch = new StallWatch(url)
  const slots = ["w0", "w1", "w2"].map((name) => new Slot(name, "rival", () => ({ folder, url, side: system })))
  try {
    await side.migrate(url)
    for (const slot of slots) slot.start()
    await pause(2_000)
    const struck: Struck[] = []
    const strikes = planFaults(workload, seed, ms).map((fault) => strike(slots, fault, struck))
    const marks = await pushAll(side, url, seed, ms)
    await Promise.all(strikes)
    const unfinished = await drained(side, url)
    await Promise.all(slots.map((slot) => slot.close(stopLimit)))
    const results = side.results === undefined ? undefined : await rows<Result>(url, side.results)
    await watch.stop()
    return judge(system, { marks, struck, stalls: watch.stalls, entries: readRecords(folder), unfinished, results })
  } finally {
    await watch.stop()
    await Promise.all(slots.map((slot) => slot.close(0)))
    await drop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

async function strike(slots: readonly Slot[], fault: Fault, struck: Struck[]): Promise<void> {
  await pause(fault.at)
  const slot = slots.find(({ name }) => name === fault.target)!
  const from = machineTime()
  if (fault.kind === "kill") await slot.kill(fault.for)
  else if (fault.kind === "freeze")
    await slot.freeze(3 * fault.for) // longer than the longest of their leases
  else await slot.replace(stopLimit)
  struck.push({ ...fault, from, until: machineTime() })
}

/** At an even pace; every push is acknowledged, for the server stays up. */
async function pushAll(side: Side, url: string, seed: number, ms: number): Promise<string[]> {
  const pusher = await side.pusher(url)
  const random = seeded(seed)
  const marks: string[] = []
  const began = machineTime()
  while (machineTime() - began < ms) {
    const mark = `job-${marks.length}`
    await pusher.push({ mark, ms: random.between(50, 800) })
    marks.push(mark)
    await pause(Math.max(0, began + (1_000 * marks.length) / perSecond - machineTime()))
  }
  await pusher.close()
  return marks
}

async function rows<T>(url: string, text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<T & pg.QueryResultRow>(text)).rows
  } finally {
    await client.end()
  }
}

async function drained(side: Side, url: string): Promise<number> {
  const until = machineTime() + longestDrain
  for (;;) {
    const [row] = await rows<{ n: number }>(url, side.left)
    if (row!.n === 0 || machineTime() > until) return row!.n
    await pause(250)
  }
}

interface Result {
  readonly mark: string
  readonly by: string
  readonly run: number
}

interface Seen {
  readonly marks: readonly string[]
  readonly struck: readonly Struck[]
  readonly stalls: readonly Stall[]
  readonly entries: readonly Entry[]
  readonly unfinished: number
  readonly results: readonly Result[] | undefined
}

function judge(system: SideName, { marks, struck, stalls, entries, unfinished, results }: Seen): Standing {
  const runs = new Map<string, Entry<"start">[]>()
  for (const one of entries) if (one.t === "start") runs.set(one.id, [...(runs.get(one.id) ?? []), one])
  const again = [...runs.values()].flatMap((all) => all.slice(1).map((next, index) => ({ first: all[index]!, next })))
  const caused = again.map((pair) => ({ ...pair, by: struck.find((one) => explains(one, pair.first, pair.next)) }))
  const strange = caused.filter(({ by }) => by === undefined)
  const stalled = strange.filter(({ first, next }) => stalls.some(({ from, until }) => from <= next.at && until >= first.at)) // prettier-ignore
  const times = caused.flatMap(({ by, first, next }) => (by ? [next.at - Math.max(by.from, first.at)] : [])).toSorted((a, b) => a - b) // prettier-ignore
  const share = (part: number) => times.length === 0 ? undefined : Math.round(times[Math.min(times.length - 1, Math.floor(part * times.length))]!) // prettier-ignore
  return {
    system,
    setting: sides[system].setting,
    jobs: marks.length,
    faults: struck.length,
    unfinished,
    runs: [...runs.values()].reduce((sum, all) => sum + all.length, 0),
    secondRuns: again.length,
    unexplained: strange.length - stalled.length,
    stalled: stalled.length,
    staleResults: results?.filter(({ mark, by, run }) => isStale(runs.get(mark)?.at(-1), by, run)).length,
    p50: share(0.5),
    p99: share(0.99),
  }
}

/** A fault of the process of the earlier run, before the later one. */
const explains = ({ target, from, until }: Struck, first: Entry, next: Entry): boolean =>
  target === slotOf(first.by) && from <= next.at && until >= first.at

const isStale = (last: Entry<"start"> | undefined, by: string, run: number): boolean =>
  last !== undefined && (last.by !== by || last.claims !== run)
