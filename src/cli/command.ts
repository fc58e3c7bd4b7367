import type { Millrace } from "../index.ts"
import type { Plugin } from "../worker.ts"
import type { Output } from "./output.ts"

/** One option of a command, as it stands in the help. */
export interface CommandOption {
  readonly type: "string" | "boolean"
  /** May be given several times. */
  readonly multiple?: boolean
  readonly short?: string
  /** What stands for its value in the help. */
  readonly value?: string
  readonly doc: string
}

export type CommandOptions = Readonly<Record<string, CommandOption>>

/** What the command line said, and the means to answer. */
export interface Call {
  readonly args: readonly string[]
  /** The value of a text option; the last one of several. */
  text(name: string): string | undefined
  /** All values of a text option. */
  texts(name: string): readonly string[]
  flag(name: string): boolean
  readonly out: Output
  /** The app that the connection options name; these plugins are added to one that no module makes. Closed when the command ends. */
  app(plugins?: () => readonly Plugin[]): Promise<Millrace>
}

export interface Command {
  /** Its words: `queue pause`. */
  readonly name: string
  readonly summary: string
  /** Its arguments, as in the help: `NAME…`. */
  readonly args?: string
  readonly least?: number
  /** Most arguments; default as many as at least. */
  readonly most?: number
  readonly options?: CommandOptions
  readonly examples: readonly string[]
  /** @returns the exit code: 0 done, 1 refused or not found. */
  run(call: Call): Promise<number>
}

/** A call that cannot be understood: exit code 2. */
export class UsageError extends Error {}

export const connectionOptions: CommandOptions = {
  dsn: { type: "string", value: "URL", doc: "Connection string. Default: DATABASE_URL." },
  schema: { type: "string", value: "NAME", doc: "Schema of the installation. Default: millrace." },
  app: { type: "string", value: "MODULE", doc: "A module that exports `app`, to connect as it does." },
}

export const commonOptions: CommandOptions = {
  json: { type: "boolean", doc: "Answer with JSON." },
  help: { type: "boolean", short: "h", doc: "Show this." },
}
