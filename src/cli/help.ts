import { commonOptions, connectionOptions, type Command, type CommandOptions } from "./command.ts"
import { usage } from "./parse.ts"

/** The help of the whole program. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length)) + 2
  return [
    "millrace: background jobs on PostgreSQL",
    "",
    "usage: millrace COMMAND [options]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    "",
    "Each command says more with --help. The database is that of --dsn, DATABASE_URL, or --app MODULE.",
    "Exit codes: 0 done, 1 refused or failed, 2 not understood.",
  ].join("\n")
}

/** The help of one command. */
export function help(command: Command): string {
  return [
    command.summary,
    "",
    `usage: ${usage(command)}`,
    ...section("options", command.options ?? {}),
    ...section("connection", connectionOptions),
    ...section("other", commonOptions),
    "",
    "examples:",
    ...command.examples.map((example) => `  ${example}`),
  ].join("\n")
}

function section(title: string, options: CommandOptions): string[] {
  const rows = Object.entries(options).map(([name, { short, value, doc, multiple }]) => {
    const flag = `${short ? `-${short}, ` : ""}--${name}${value ? ` ${value}` : ""}${multiple ? " …" : ""}`
    return [flag, doc] as const
  })
  if (rows.length === 0) return []
  const width = Math.max(...rows.map(([flag]) => flag.length)) + 2
  return ["", `${title}:`, ...rows.map(([flag, doc]) => `  ${flag.padEnd(width)}${doc}`)]
}
