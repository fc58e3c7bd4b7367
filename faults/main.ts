// npm run faults -- [--test NAME] [--seed N] [--minutes M] [--soak 30m] [--json] [--mutants [NAME]]
//
// Runs rounds of faults against real worker processes and a real PostgreSQL, and judges each. Progress goes to stderr;
// stdout gets the report, or with --json exactly one JSON object. The exit code is 1 when a promise was broken.
import { parseArgs } from "node:util"
import { startPostgres } from "../tools/postgres.mjs"
import { hasBouncer } from "./bouncer.ts"
import { endAll } from "./crew.ts"
import { hunt } from "./mutants.ts"
import { profiles, type Profile } from "./profiles.ts"
import { summarise, table } from "./report.ts"
import { compare } from "./rivals.ts"
import { runRound, type Outcome } from "./round.ts"
import { machineTime } from "./timing.ts"

const usage = `usage: npm run faults -- [options]

  --test NAME     ${Object.keys(profiles).join(", ")}; default: all
  --seed N        the first round's seed; each round has the next one (default 1)
  --minutes M     rounds until the time is over (default: one round)
  --soak 30m      the same, with a table of every test at the end
  --seconds N     how long each round's faults last (default 40)
  --mutants       plant each bug, and see that it is caught; --only NAME for one
  --rivals        the same jobs under SIGKILL, SIGSTOP and restarts, here and with pg-boss and graphile-worker
  --json          one JSON object on stdout
`

interface Command {
  readonly tests: readonly Profile[]
  readonly seed: number
  readonly ms: number
  readonly seconds: number
  readonly json: boolean
  readonly mutants: boolean
  readonly rivals: boolean
  readonly only: string | undefined
  readonly drain: number
}

class UsageError extends Error {}

function readCommand(args: string[]): Command {
  const text = { type: "string" } as const
  const flag = { type: "boolean", default: false } as const
  const { values } = parseArgs({
    args,
    options: { test: text, seed: text, minutes: text, soak: text, seconds: text, drain: text, only: text, json: flag, mutants: flag, rivals: flag }, // prettier-ignore
  })
  return {
    tests: testsOf(values.test),
    seed: number("seed", values.seed ?? "1"),
    ms: 60_000 * number("minutes", values.minutes ?? values.soak?.replace(/m$/, "") ?? "0"),
    seconds: number("seconds", values.seconds ?? "40"),
    drain: number("drain", values.drain ?? "60"),
    json: values.json,
    mutants: values.mutants,
    rivals: values.rivals,
    only: values.only,
  }
}

function testsOf(names: string | undefined): Profile[] {
  if (names === "each") return Object.values(profiles)
  return (names ?? "all").split(",").map((name) => {
    const profile = profiles[name]
    if (!profile) throw new UsageError(`unknown test "${name}"`)
    return profile
  })
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new UsageError(`--${name} takes a number`)
  return value
}

/** Rounds until the time is over, each test in turn, each round with the next seed; at least one round per test. */
async function rounds({ tests, seed, ms, seconds, drain }: Command): Promise<Outcome[]> {
  const server = await startPostgres({ settings: { max_connections: "300" } })
  const began = machineTime()
  const outcomes: Outcome[] = []
  try {
    for (let round = 0; round < tests.length || machineTime() - began < ms; round++) {
      const profile = tests[round % tests.length]!
      if (profile.bouncer && !hasBouncer()) {
        process.stderr.write(
          `SKIPPED: ${profile.name} needs pgbouncer, which is not here (apt-get install pgbouncer)\n`,
        )
        if (tests.length === 1) break
        continue
      }
      const number = seed + round
      const say = (text: string) => void process.stderr.write(`${profile.name} seed ${number}: ${text}\n`)
      const outcome = await runRound(server, { profile, seed: number, ms: 1_000 * seconds, drainWithin: 1_000 * drain, say }) // prettier-ignore
      for (const { rule, text } of outcome.violations.slice(0, 20)) say(`${rule}: ${text}`)
      if (outcome.folder) say(`evidence is in ${outcome.folder}`)
      outcomes.push(outcome)
    }
    return outcomes
  } finally {
    await server.stop()
  }
}

delete process.env.DATABASE_URL // a server of its own, for it is killed

async function main(args: string[]): Promise<number> {
  try {
    const command = readCommand(args)
    if (command.mutants) return await hunt(command)
    if (command.rivals) return await compare(command)
    const outcomes = await rounds(command)
    const summary = summarise(outcomes)
    process.stderr.write(command.json ? table(outcomes) : "")
    process.stdout.write(command.json ? `${JSON.stringify(summary, null, 2)}\n` : table(outcomes))
    return summary.violations.length === 0 ? 0 : 1
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    if (!(error instanceof UsageError) && !String((error as { code?: string }).code).startsWith("ERR_PARSE")) return 3
    process.stderr.write(`\n${usage}`)
    return 2
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    endAll()
    process.exit(130)
  })

process.exitCode = await main(process.argv.slice(2))
