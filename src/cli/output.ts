import { styleText } from "node:util"
import { renderTable, type Column } from "./table.ts"

/** Where a command's answer goes: tables and sentences for people, JSON for programs. */
export interface Output {
  readonly json: boolean
  /** A line for people; nothing with --json. */
  line(text: string): void
  /** One JSON document; nothing without --json. */
  document(value: unknown): void
  /** Rows for people, or one JSON document of the same records. */
  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], none: string): void
  /** A line on stderr. */
  problem(text: string): void
}

export function output(json: boolean): Output {
  const write = (text: string) => void process.stdout.write(`${text}\n`)
  return {
    json,
    line: (text) => (json ? undefined : write(text)),
    document: (value) => (json ? write(JSON.stringify(value, null, 2)) : undefined),
    table(rows, columns, none) {
      if (json) write(JSON.stringify(rows, null, 2))
      else write(rows.length === 0 ? none : renderTable(rows, columns, process.stdout.columns ?? 200))
    },
    problem: (text) => void process.stderr.write(`${text}\n`),
  }
}

type Style = "red" | "green" | "yellow" | "cyan" | "dim" | "bold"

/** Colours only where a person looks, and where NO_COLOR does not forbid it. */
export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text
}

const styles: Readonly<Record<string, Style>> = {
  succeeded: "green",
  failed: "red",
  cancelled: "dim",
  running: "cyan",
  retrying: "yellow",
  blocked: "yellow",
}

export const paintState = (state: string): string => (styles[state] ? paint(styles[state], state) : state)
