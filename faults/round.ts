// One round: an installation of its own, its processes, the faults of a plan, and the judgement.
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import pg from "pg"
import { Millrace } from "millrace"
import { TcpProxy } from "../test/support/tcp-proxy.ts"
import type { Postgres } from "../tools/postgres.mjs"
import { startBouncer } from "./bouncer.ts"
import { check, type Verdict } from "./checker.ts"
import { pause, Slot } from "./crew.ts"
import { newDatabase } from "./database.ts"
import type { Evidence, Struck } from "./evidence.ts"
import { ledgerSql, readLedger } from "./ledger.ts"
import { digest, planFaults, type Fault } from "./plan.ts"
import type { ProcessPlan } from "./process.ts"
import type { Profile } from "./profiles.ts"
import { readRecords } from "./record.ts"
import { stopLimit, strike, type Place, type Stage } from "./strike.ts"
import { StallWatch } from "./stalls.ts"
import { machineTime, timing } from "./timing.ts"

export interface Outcome extends Verdict {
  readonly profile: string
  readonly seed: number
  /** Of the schedule. */
  readonly digest: string
  readonly faults: number
  readonly stalls: number
  /** Where the records are, when something was found. */
  readonly folder: string | undefined
}

export interface RoundOptions {
  readonly profile: Profile
  readonly seed: number
  /** How long faults happen. */
  readonly ms: number
  /** How long it may take afterwards until everything is finished. */
  readonly drainWithin: number
  /** Told what happens. */
  readonly say: (text: string) => void
}

const schema = "millrace"

export async function runRound(server: Postgres, options: RoundOptions): Promise<Outcome> {
  const { profile, seed, ms, say } = options
  const faults = planFaults(profile, seed, ms)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "millrace-faults-"))
  const { url, drop } = await newDatabase(server.url)
  const closers: (() => Promise<unknown>)[] = [drop]
  try {
    await install(url, profile)
    const stage = await setUp(server, url, folder, options, closers)
    const watch = new StallWatch(url)
    closers.push(() => watch.stop())
    const { struck, drainedIn } = await play(stage, faults, options)
    const evidence = await collect(stage, { struck, drainedIn, stalls: watch.stalls, folder })
    const verdict = check(evidence)
    const kept = verdict.violations.length > 0
    if (kept) fs.writeFileSync(path.join(folder, "evidence.json"), JSON.stringify({ ...evidence, entries: [] }))
    const { jobs, violations } = verdict
    say(`${jobs} jobs, ${struck.length} faults, ${violations.length} violations`)
    return {
      ...verdict,
      profile: profile.name,
      seed,
      digest: digest(faults),
      faults: struck.length,
      stalls: watch.stalls.length,
      folder: kept ? folder : undefined,
    }
  } finally {
    for (const close of closers.toReversed()) await close().catch(() => {})
    if (!fs.existsSync(path.join(folder, "evidence.json"))) fs.rmSync(folder, { recursive: true, force: true })
  }
}

async function install(url: string, { concurrency = 8 }: Profile): Promise<void> {
  const app = new Millrace({ dsn: url, schema, logger: false })
  await app.migrate()
  await app.declareQueue({ name: "default", concurrency, pollInterval: timing.poll })
  await app.declareQueue({ name: "line", concurrency: 1, pollInterval: timing.poll })
  await app.close()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(ledgerSql(schema))
  await client.end()
}

async function setUp(
  server: Postgres,
  url: string,
  folder: string,
  { profile, seed }: RoundOptions,
  closers: (() => Promise<unknown>)[],
): Promise<Stage> {
  let entrance = url
  if (profile.bouncer) {
    const bouncer = await startBouncer(url)
    closers.push(bouncer.stop)
    entrance = bouncer.url
  }
  const places = new Map<string, Place>()
  for (const [letter, program, count] of [
    ["w", "worker", profile.workers],
    ["p", "pusher", profile.pushers],
  ] as const) {
    // prettier-ignore
    for (let index = 0; index < count; index++) {
      const proxy = await TcpProxy.start(entrance, { forgetful: true })
      const slot = new Slot(`${letter}${index}`, program, planOf(proxy.through(entrance), folder, profile, seed, index))
      places.set(slot.name, { slot, proxy })
      closers.push(async () => {
        await slot.kill(0).catch(() => {})
        await proxy.close()
      })
    }
  }
  return { places, server, url, schema }
}

/** The first worker keeps its id over restarts, the others get a new one each time. */
const planOf =
  (dsn: string, folder: string, profile: Profile, seed: number, index: number) =>
  (label: string, generation: number): Omit<ProcessPlan, "label"> => ({
    dsn,
    folder,
    seed: seed * 1_009 + index * 101 + generation,
    workerId: index === 0 ? "w0" : label,
    notifications: profile.notifications ?? true,
    doings: profile.doings,
    writers: profile.writers ?? 4,
    rest: profile.rest ?? [20, 120],
  })

const spread = 500

async function play(stage: Stage, faults: readonly Fault[], { ms, drainWithin, say }: RoundOptions) {
  for (const { slot } of stage.places.values()) slot.start()
  await pause(spread)
  const began = machineTime()
  const struck: Struck[] = []
  const strikes = faults.map(async (fault) => {
    await pause(fault.at)
    struck.push(await strike(stage, fault))
  })
  const progress = setInterval(
    () => say(`${Math.round((machineTime() - began) / 1_000)} s, ${struck.length} faults`),
    5_000,
  )
  await pause(ms)
  const pushers = [...stage.places.values()].filter(({ slot }) => slot.name.startsWith("p"))
  await Promise.all(strikes)
  for (const { proxy } of stage.places.values()) {
    proxy.disarm()
    proxy.delay(0)
    proxy.heal()
  }
  await Promise.all(pushers.map(({ slot }) => slot.close(stopLimit)))
  clearInterval(progress)
  const drainedIn = await drained(stage, drainWithin, say)
  await Promise.all([...stage.places.values()].map(({ slot }) => slot.close(stopLimit)))
  return { struck, drainedIn }
}

/** Until nothing is left to do, ms; undefined when that takes too long. */
async function drained({ url }: Stage, within: number, say: (text: string) => void): Promise<number | undefined> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const from = machineTime()
  try {
    for (let told = from; ; await pause(50)) {
      const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from ${schema}.jobs`)
      const took = machineTime() - from
      if (rows[0]!.n === 0) return took
      if (took > within) return undefined
      if (machineTime() - told < 5_000) continue
      told = machineTime()
      say(`draining, ${rows[0]!.n} jobs left`)
    }
  } finally {
    await client.end()
  }
}

async function collect(
  stage: Stage,
  known: { struck: Struck[]; drainedIn: number | undefined; stalls: Evidence["stalls"]; folder: string },
): Promise<Evidence> {
  const client = new pg.Client({ connectionString: stage.url })
  await client.connect()
  try {
    const before = machineTime()
    const { rows } = await client.query<{ now: number }>(
      "select extract(epoch from clock_timestamp())::float8 * 1000 as now",
    )
    const offset = (before + machineTime()) / 2 - rows[0]!.now
    const deserters = [...stage.places.values()].flatMap(({ slot }) => slot.deserters)
    const ledger = await readLedger(client, schema)
    return { ...known, entries: readRecords(known.folder), ledger, deserters, offset }
  } finally {
    await client.end()
  }
}
