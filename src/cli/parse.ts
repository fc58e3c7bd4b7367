import { parseArgs } from "node:util"
import { didYouMean } from "../lib/nearest.ts"
import { commonOptions, connectionOptions, UsageError, type Command, type CommandOptions } from "./command.ts"

export interface Parsed {
  readonly args: readonly string[]
  readonly values: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
}

export const optionsOf = (command: Command): CommandOptions => ({
  ...command.options,
  ...connectionOptions,
  ...commonOptions,
})

/** @throws UsageError that says what to write instead. */
export function parse(command: Command, argv: readonly string[]): Parsed {
  const options = optionsOf(command)
  const { positionals, values } = understood(command, argv, options)
  if (values.help === true) return { args: positionals, values: values as Parsed["values"] }
  const { least = 0, most = least } = command
  if (positionals.length < least) throw new UsageError(`missing argument: ${usage(command)}`)
  if (positionals.length > most)
    throw new UsageError(`unexpected argument ${JSON.stringify(positionals[most])}: ${usage(command)}`)
  return { args: positionals, values: values as Parsed["values"] }
}

export const usage = ({ name, args }: Command): string => `millrace ${name}${args ? ` ${args}` : ""} [options]`

function understood(command: Command, argv: readonly string[], options: CommandOptions) {
  const config = Object.fromEntries(
    Object.entries(options).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short ? { short } : {}), ...(multiple ? { multiple } : {}) },
    ]),
  )
  try {
    return parseArgs({ args: [...argv], options: config, allowPositionals: true })
  } catch (error) {
    const { message } = error as Error
    const wrong = /Unknown option '--?([^']+)'/.exec(message)?.[1]
    if (wrong === undefined) throw new UsageError(message.split("\n", 1).join())
    const hint = didYouMean(wrong, Object.keys(options)).replace(/"(.*)"/, "--$1")
    throw new UsageError(
      `millrace ${command.name} has no option --${wrong}.${hint} See millrace ${command.name} --help.`,
    )
  }
}
