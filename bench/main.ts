// npm run bench -- <scenario> [--peer graphile-worker|pg-boss] [--json] [--jobs N] [--runs N] …
//
// Measures one scenario, and with --peer the peer's side too, in turns (ours, peer, ours, peer …): a noisy machine
// then disturbs both alike, and the ratio of the medians is the figure to quote. Progress goes to stderr; stdout gets
// the table, or with --json exactly one JSON object.
import { parseArgs } from "node:util"
import { endCrew } from "./crew.ts"
import { installPeer } from "./peers.ts"
import { report, table, type Outcome, type Round } from "./report.ts"
import type { Measurement, Options, Run, Scenario } from "./scenario.ts"
import { claim } from "./scenarios/claim.ts"
import { dashboards } from "./scenarios/dashboards.ts"
import { drain } from "./scenarios/drain.ts"
import { enqueue } from "./scenarios/enqueue.ts"
import { executors } from "./scenarios/executors.ts"
import { limits } from "./scenarios/limits.ts"
import { find } from "./scenarios/find.ts"
import { held } from "./scenarios/held.ts"
import { latency } from "./scenarios/latency.ts"
import { observability } from "./scenarios/observability.ts"
import { scheduled } from "./scenarios/scheduled.ts"
import { serial } from "./scenarios/serial.ts"
import { steady } from "./scenarios/steady.ts"
import { workflows } from "./scenarios/workflows.ts"
import { web } from "./scenarios/web.ts"
import { startServer, type Server } from "./server.ts"
import { peerNames, type PeerName, type SideName } from "./side.ts"

const scenarios: Record<string, Scenario> = {
  enqueue,
  drain,
  latency,
  steady,
  serial,
  held,
  claim,
  find,
  executors,
  limits,
  observability,
  scheduled,
  workflows,
  web,
  dashboards,
}

/** No single measurement may last longer; `--seconds` adds to it. */
const LIMIT = 15 * 60

class UsageError extends Error {}

interface Command {
  name: string
  scenario: Scenario
  peer: PeerName | undefined
  peerOnly: boolean
  rounds: number
  json: boolean
  options: Options
}

function usage(): string {
  const lines = Object.entries(scenarios).map(([name, { summary }]) => `  ${name.padEnd(15)}${summary}`)
  return `usage: npm run bench -- <scenario> [options]

${lines.join("\n")}

  --peer NAME      measure ${peerNames.join(" or ")} in turns with millrace
  --peer-only      the peer alone
  --json           one JSON object on stdout instead of the table
  --runs N         rounds, of which medians are taken
  --jobs N         jobs of drain, latency, serial, executors (through a queue) and dashboards; jobs waiting in claim
  --seconds N      duration of steady, held and each part of enqueue
  --processes N    worker processes of drain
  --unanalysed     drain, serial and held: no planner statistics about the backlog
  --saving         drain: with a saving hook of ours that writes one row per job in its settlement
  --concurrency N  instead of each side's best or default, for experiments

DATABASE_URL names a server to use; without it one is started, with durable defaults and 1 GB of shared buffers.
`
}

function readCommand(args: string[]): Command {
  const number = { type: "string" } as const
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      peer: { type: "string" },
      "peer-only": { type: "boolean", default: false },
      unanalysed: { type: "boolean", default: false },
      saving: { type: "boolean", default: false },
      runs: number,
      jobs: number,
      seconds: number,
      processes: number,
      concurrency: number,
    },
  })
  const [name = "", ...rest] = positionals
  const scenario = Object.hasOwn(scenarios, name) ? scenarios[name] : undefined
  if (!scenario || rest.length > 0) throw new UsageError(`unknown scenario "${positionals.join(" ")}"`)
  const peer = readPeer(values.peer)
  if (peer && !scenario.peers) throw new UsageError(`${name} measures millrace only`)
  if (values["peer-only"] && !peer) throw new UsageError("--peer-only needs --peer")
  return {
    name,
    scenario,
    peer,
    peerOnly: values["peer-only"],
    rounds: count("runs", values.runs) ?? scenario.rounds,
    json: values.json,
    options: {
      jobs: count("jobs", values.jobs),
      seconds: count("seconds", values.seconds),
      processes: count("processes", values.processes) ?? 1,
      concurrency: count("concurrency", values.concurrency),
      unanalysed: values.unanalysed,
      saving: values.saving,
    },
  }
}

function readPeer(name: string | undefined): PeerName | undefined {
  const peer = peerNames.find((known) => known === name)
  if (name !== undefined && !peer) throw new UsageError(`unknown peer "${name}"; known: ${peerNames.join(", ")}`)
  return peer
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name} takes a whole number from 1`)
  return value
}

async function bench(command: Command): Promise<Outcome> {
  const { name, scenario, peer, options } = command
  if (peer) await installPeer(peer)
  const server = await startServer()
  try {
    const rounds = await measureRounds(command, server)
    return { scenario: name, summary: scenario.summary, columns: scenario.columns, peer, options, server, rounds }
  } finally {
    await server.stop()
  }
}

async function measureRounds(command: Command, server: Server): Promise<Round[]> {
  const { scenario, peer, peerOnly, options } = command
  const rounds: Round[] = []
  for (let number = 1; number <= command.rounds; number++) {
    const measure = (side: SideName) => {
      const say = (text: string) => void process.stderr.write(`${number}/${command.rounds} ${side}: ${text}\n`)
      return measureWithin(scenario, { server, side, options, say })
    }
    const round: Round = {}
    if (!peerOnly) round.ours = await measure("ours")
    if (peer) round.peer = await measure(peer)
    rounds.push(round)
  }
  return rounds
}

async function measureWithin(scenario: Scenario, run: Run): Promise<Measurement> {
  const limit = (scenario.limit ?? LIMIT) + 5 * (run.options.seconds ?? 0)
  const overdue = setTimeout(() => {
    process.stderr.write(`no result within ${limit} s\n`)
    endCrew()
  }, limit * 1000)
  try {
    return await scenario.measure(run)
  } finally {
    clearTimeout(overdue)
  }
}

async function main(args: string[]): Promise<number> {
  try {
    const command = readCommand(args)
    const outcome = await bench(command)
    const text = table(outcome)
    if (command.json) process.stderr.write(text)
    process.stdout.write(command.json ? `${JSON.stringify(report(outcome), null, 2)}\n` : text)
    return 0
  } catch (error) {
    if (isUsageError(error)) {
      process.stderr.write(`${error.message}\n\n${usage()}`)
      return 2
    }
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    return 1
  }
}

function isUsageError(error: unknown): error is Error {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  return error instanceof UsageError || code.startsWith("ERR_PARSE_ARGS")
}

// Without its children every measurement fails at once, and cleans up on its way out.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, endCrew)

process.exitCode = await main(process.argv.slice(2))
