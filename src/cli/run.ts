import { readFileSync } from "node:fs"
import { didYouMean } from "../lib/nearest.ts"
import { isMillraceError, Millrace } from "../index.ts"
import type { Plugin } from "../worker.ts"
import { loadApp, ModuleError } from "./app-module.ts"
import { UsageError, type Call, type Command } from "./command.ts"
import { commands } from "./commands.ts"
import { help, overview } from "./help.ts"
import { output } from "./output.ts"
import { parse, type Parsed } from "./parse.ts"

/** Runs one command line and returns the exit code: 0 done, 1 refused or failed, 2 not understood. */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    return await dispatch(argv)
  } catch (error) {
    return explain(error)
  }
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const out = output(false)
  if (argv.includes("--version") || argv.includes("-v")) return (out.line(version()), 0)
  const command = commandOf(argv)
  if (!command) return topic(argv)
  const parsed = parse(command, argv.slice(command.name.split(" ").length))
  if (parsed.values.help === true) return (out.line(help(command)), 0)
  const opened: Millrace[] = []
  try {
    return await command.run(callOf(parsed, opened))
  } finally {
    for (const app of opened) await app.close()
  }
}

const commandOf = (argv: readonly string[]): Command | undefined =>
  commands.find(({ name }) => name.split(" ").every((word, index) => argv[index] === word))

/** No command: the overview, that of a noun, or a hint. */
function topic(argv: readonly string[]): number {
  const out = output(false)
  const words = argv.filter((word) => !word.startsWith("-"))
  if (words.length === 0) return (out.line(overview(commands)), 0)
  const under = commands.filter(({ name }) => name.startsWith(`${words[0]} `))
  if (words.length === 1 && under.length > 0) return (out.line(overview(under)), argv.length > 1 ? 0 : 2)
  const wanted = words.slice(0, under.length > 0 ? 2 : 1).join(" ")
  const names = [...new Set(commands.flatMap(({ name }) => [name, name.split(" ")[0]!]))]
  throw new UsageError(
    `there is no command ${JSON.stringify(wanted)}.${didYouMean(wanted, names)} See millrace --help.`,
  )
}

function callOf({ args, values }: Parsed, opened: Millrace[]): Call {
  const texts = (name: string): readonly string[] => {
    const given = values[name]
    return Array.isArray(given) ? (given as string[]) : typeof given === "string" ? [given] : []
  }
  const text = (name: string) => texts(name).at(-1)
  let app: Promise<Millrace> | undefined
  return {
    args,
    text,
    texts,
    flag: (name) => values[name] === true,
    out: output(values.json === true),
    app: (plugins) => (app ??= connect(text("dsn"), text("schema"), text("app"), opened, plugins)),
  }
}

async function connect(
  dsn: string | undefined,
  schema: string | undefined,
  module: string | undefined,
  opened: Millrace[],
  plugins: (() => readonly Plugin[]) | undefined,
) {
  if (module !== undefined) {
    const { app } = await loadApp(module)
    opened.push(app)
    return app
  }
  const url = dsn ?? process.env.DATABASE_URL
  if (!url) throw new UsageError("which database? Give --dsn URL, set DATABASE_URL, or name your --app MODULE.")
  const app = new Millrace({
    dsn: url,
    logger: false,
    maxConnections: 3,
    pushTimeout: "10s",
    plugins: plugins?.() ?? [],
    ...(schema === undefined ? {} : { schema }),
  })
  opened.push(app)
  return app
}

function version(): string {
  const { version: text } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string
  }
  return text
}

/** One line that says how to mend it; of the user's own module, its stack. */
function explain(error: unknown): number {
  const out = output(false)
  if (error instanceof ModuleError) {
    const { cause } = error
    out.problem(
      `millrace: ${error.message}:\n${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`,
    )
    return 1
  }
  if (error instanceof UsageError) {
    out.problem(`millrace: ${error.message}`)
    return 2
  }
  const { message } = error as Error
  out.problem(isMillraceError(error) ? `millrace: ${message} [${error.code}]` : `millrace: ${message || String(error)}`)
  return isMillraceError(error) && usageCodes.has(error.code) ? 2 : 1
}

/** What was given on the command line was wrong, rather than refused. */
const usageCodes = new Set([
  "MILLRACE_BAD_OPTION",
  "MILLRACE_UNKNOWN_OPTION",
  "MILLRACE_BAD_DURATION",
  "MILLRACE_BAD_RULE",
  "MILLRACE_BAD_NAME",
  "MILLRACE_BAD_ID",
  "MILLRACE_BAD_GLOB",
  "MILLRACE_BAD_CURSOR",
  "MILLRACE_BAD_SCHEMA",
])
