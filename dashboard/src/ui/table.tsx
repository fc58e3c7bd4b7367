import { useState, type ReactNode } from "react"
import { navigate } from "../router.ts"
import { useKeys } from "../shell/keys.ts"

export interface Col<T> {
  title: string
  cell: (row: T) => ReactNode
  right?: boolean
  /** Not on phones. */
  wide?: boolean
  width?: string
}

interface TableProps<T> {
  label: string
  rows: readonly T[]
  cols: readonly Col<T>[]
  keyOf: (row: T) => string
  /** Where a row leads; Enter goes there as well. */
  to?: (row: T) => string
  /** j, k and Enter work on it: for the main table of a page. */
  keys?: boolean
}

export function Table<T>({ label, rows, cols, keyOf, to, keys = false }: TableProps<T>) {
  const [cursor, setCursor] = useState(-1)
  const move = (by: number) => setCursor(Math.max(0, Math.min(rows.length - 1, cursor + by)))
  const row = rows[cursor]
  useKeys(
    keys
      ? { j: () => move(1), k: () => move(-1), ...(row !== undefined && to ? { enter: () => navigate(to(row)) } : {}) }
      : {},
  )
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label={label}>
      <table aria-label={label}>
        <thead>
          <tr>
            {cols.map(({ title, right, wide, width }) => (
              <th key={title} className={classOf(right, wide)} style={width ? { width } : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((one, index) => (
            <tr
              key={keyOf(one)}
              className={`${to ? "click" : ""}${index === cursor ? " cursor" : ""}`}
              onClick={(event) => {
                if (to && !(event.target as HTMLElement).closest("a,button,input")) navigate(to(one))
              }}
            >
              {cols.map(({ title, right, wide, cell }) => (
                <td key={title} className={classOf(right, wide)}>
                  {cell(one)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const classOf = (right?: boolean, wide?: boolean): string | undefined =>
  [right ? "right" : "", wide ? "hide-narrow" : ""].filter(Boolean).join(" ") || undefined
