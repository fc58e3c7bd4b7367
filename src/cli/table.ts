import { stripVTControlCharacters } from "node:util"

export interface Column<Row> {
  readonly title: string
  /** What stands there; may carry colours. */
  cell(row: Row): string
  readonly right?: boolean
  /** Cut when the terminal is too narrow. */
  readonly flexible?: boolean
}

const gap = "  "
const narrowest = 8

/** Rows under titles, as wide as needed; too wide for the terminal, flexible columns are cut. */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width: number): string {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.cell(row))))
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => length(row[index]!))),
  )
  shrink(widths, columns, width)
  const line = (texts: readonly string[]) =>
    texts
      .map((text, index) => fit(text, widths[index]!, columns[index]!.right === true))
      .join(gap)
      .trimEnd()
  return [line(columns.map((column) => column.title.toUpperCase())), ...cells.map(line)].join("\n")
}

const length = (text: string): number => stripVTControlCharacters(text).length

/** Control characters of a job's data must not reach the terminal; our own colours may. */
// eslint-disable-next-line no-control-regex
const oneLine = (text: string): string => text.replaceAll(/[\0-\x1a\x1c-\x1f\x7f]+/g, " ")

function shrink<Row>(widths: number[], columns: readonly Column<Row>[], width: number): void {
  let over = widths.reduce((sum, one) => sum + one, gap.length * (widths.length - 1)) - width
  while (over > 0) {
    const widest = widths.reduce(
      (best, one, index) => (columns[index]!.flexible && one > (widths[best] ?? 0) ? index : best),
      -1,
    )
    if (widest < 0 || widths[widest]! <= narrowest) return
    widths[widest]! -= 1
    over -= 1
  }
}

function fit(text: string, width: number, right: boolean): string {
  const size = length(text)
  if (size > width) return `${stripVTControlCharacters(text).slice(0, width - 1)}…`
  const space = " ".repeat(width - size)
  return right ? space + text : text + space
}
