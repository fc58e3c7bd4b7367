// npm run demo -- [PATH] [--once]
//
// One job per file of a folder, run by two worker processes on a PostgreSQL server started for it, then checked against
// a plain loop over the same files. Then the dashboard is open, and the jobs of a small shop keep coming. Exit codes with --once: 0 the totals agree, 1 they do not, 2 something is missing.
import path from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Millrace, type Logger } from "millrace"
import { startCrew } from "./crew.ts"
import { openDashboard } from "./dashboard.ts"
import { openDatabase, type Database } from "./database.ts"
import { announceFolder, fact, runFolder, type Stage } from "./folder-run.ts"
import { demoPlugins } from "./plugins.ts"
import { codeOf, Interrupted, messageOf, Problem } from "./problem.ts"
import { openScreen, type Screen } from "./screen.ts"
import { stay } from "./stay.ts"
import { traffic } from "./traffic.ts"
import { resolveFolder } from "./walk.ts"

const usage = `usage: npm run demo -- [PATH] [--once]

  PATH     a folder whose files to read; default: this project's node_modules
  --once   end after the first run: 0 if the totals agree, 1 if they do not

DATABASE_URL names a PostgreSQL server to use instead of starting one.
`

interface Command {
  folder: string
  once: boolean
}

function readCommand(args: string[]): Command | undefined {
  const options = { once: { type: "boolean", default: false }, help: { type: "boolean", short: "h" } } as const
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    if (values.help) return undefined
    if (positionals.length > 1) throw new Problem(`One folder at a time, not ${positionals.length}.`)
    return { folder: positionals[0] ?? ownModules(), once: values.once }
  } catch (error) {
    throw codeOf(error).startsWith("ERR_PARSE_ARGS") ? new Problem(messageOf(error)) : error
  }
}

/** Compiled, this file is in build/demo. */
const ownModules = () => path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "..", "node_modules")

/** @returns whether the totals agree. */
async function demo({ folder: given, once }: Command, screen: Screen, stop: AbortController): Promise<boolean> {
  const { bold } = screen.paint
  const folder = await resolveFolder(given)
  screen.line(`\n  ${bold("millrace")}: one job per file (SHA-256, lines, gzip size), then a plain loop\n`)
  const found = await announceFolder(screen, folder, stop.signal)
  await using database = await openDatabase()
  screen.line(fact("server", describeServer(database)))
  const plugins = demoPlugins()
  await using app = new Millrace({ pool: database.pool, logger: loggerOn(screen), plugins: plugins.all })
  await app.migrate()
  await using crew = await startCrew(2, database.url, database.pool, {
    say: (text) => screen.line(`  ${screen.paint.yellow(text)}`),
    broken: (problem) => stop.abort(problem),
  })
  stop.signal.throwIfAborted()
  screen.line(fact("workers", `two processes: ${crew.members().map(describeMember).join(", ")}`))
  const interrupt = () => stop.abort(new Interrupted())
  const stage: Stage = { screen, app, pool: database.pool, pidOf: crew.pidOf, stop: stop.signal, interrupt }
  const same = await runFolder(stage, folder, found)
  if (once) return same
  await using dashboard = await openDashboard(app)
  const over = new AbortController()
  const customers = traffic(app, plugins, AbortSignal.any([stop.signal, over.signal]))
  try {
    await stay(stage, { url: database.url, dashboard: dashboard.url, members: crew.members })
  } finally {
    over.abort()
    await customers.catch(() => {})
  }
  return same
}

const describeServer = ({ version, own, url }: Database) =>
  `PostgreSQL ${version}, ${own ? "started for this demo" : "given by DATABASE_URL"}, port ${new URL(url).port || 5432}`

const describeMember = ({ id, pid }: { id: string; pid: number }) => `${id} (pid ${pid})`

function loggerOn(screen: Screen): Logger {
  const say = (text: string) => screen.line(`  ${screen.paint.yellow(text)}`)
  return { debug() {}, info() {}, warn: say, error: say }
}

/** The first signal ends in order. Ctrl-C may reach us several times at once: from the terminal, and from npm. */
function endOnSignals(stop: AbortController, screen: Screen): void {
  const onSignal = () => stop.abort(new Interrupted())
  stop.signal.addEventListener("abort", () => {
    if (!(stop.signal.reason instanceof Interrupted)) return
    screen.clear()
    screen.line("\n  Stopping the workers and the server …")
  })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal)
  process.stdout.on("error", onSignal) // nobody reads any more
}

async function main(args: string[]): Promise<number> {
  const screen = openScreen()
  const stop = new AbortController()
  let once = false
  endOnSignals(stop, screen)
  try {
    const command = readCommand(args)
    if (!command) screen.line(usage)
    else once = command.once
    return !command || (await demo(command, screen, stop)) ? 0 : 1
  } catch (error) {
    return explain(error, screen, stop.signal, once)
  }
}

function explain(error: unknown, screen: Screen, stop: AbortSignal, once: boolean): number {
  screen.clear()
  const reason: unknown = stop.aborted ? stop.reason : error
  if (reason instanceof Interrupted) {
    screen.line("  Stopped. Nothing is left behind.")
    return once ? 130 : 0
  }
  process.stderr.write(`${messageOf(reason)}\n`)
  return 2
}

process.exitCode = await main(process.argv.slice(2))
