import { memo, useEffect, useRef, type MouseEvent } from "react"
import type { JobRow } from "../api/jobs.ts"
import { usePreferences } from "../preferences.ts"
import type { Column } from "./columns.tsx"
import type { ListState } from "./job-list.ts"
import type { Selection } from "./selection.ts"
import { useShownRows } from "./window.ts"

interface TableProps {
  state: ListState
  columns: readonly Column[]
  selection: Selection
  /** Index of the row that keys act on. */
  cursor: number
  open: string | undefined
  onOpen: (job: JobRow, index: number) => void
  onToggle: (index: number, range: boolean) => void
  onEnd: () => void
  onVisible: (ids: readonly string[]) => void
}

export function JobTable(props: TableProps) {
  const { state, columns, selection, cursor } = props
  const body = useRef<HTMLTableSectionElement>(null)
  const height = usePreferences().density === "compact" ? 32 : 40
  const { from, to } = useShownRows(body, state.jobs.length, height)
  const rows = state.jobs.slice(from, to)
  useEffect(() => {
    props.onVisible(rows.map((job) => job.id))
    if (to >= state.jobs.length - 20) props.onEnd()
  }, [from, to, state.jobs])
  useEffect(() => {
    if (cursor >= 0) body.current?.querySelector(".cursor")?.scrollIntoView({ block: "nearest" })
  }, [cursor])
  return (
    <table className="fixed jobs" aria-rowcount={state.cursor ? -1 : state.jobs.length + 1} aria-label="Jobs">
      <colgroup>
        <col className="check-col" />
        {columns.map(({ key, width }) => (
          <col key={key} style={width ? { width } : undefined} />
        ))}
      </colgroup>
      <thead>
        <tr aria-rowindex={1}>
          <th>
            <input
              type="checkbox"
              aria-label="Select all that are shown"
              checked={state.jobs.length > 0 && selection.ids.size === state.jobs.length}
              onChange={(event) => selection.set(event.target.checked ? state.jobs.map((job) => job.id) : [])}
            />
          </th>
          {columns.map(({ key, title, right }) => (
            <th key={key} className={right ? "right" : undefined}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={body}>
        <Space height={from * height} columns={columns.length + 1} />
        {rows.map((job, offset) => (
          <Row
            key={job.id}
            job={job}
            index={from + offset}
            columns={columns}
            selected={selection.ids.has(job.id)}
            cursor={cursor === from + offset}
            open={props.open === job.id}
            left={state.left.has(job.id)}
            flash={state.flash.has(job.id)}
            onOpen={props.onOpen}
            onToggle={props.onToggle}
          />
        ))}
        <Space height={(state.jobs.length - Math.min(to, state.jobs.length)) * height} columns={columns.length + 1} />
      </tbody>
    </table>
  )
}

const Space = ({ height, columns }: { height: number; columns: number }) =>
  height <= 0 ? null : (
    <tr aria-hidden="true" className="space">
      <td colSpan={columns} style={{ height }} />
    </tr>
  )

interface RowProps {
  job: JobRow
  index: number
  columns: readonly Column[]
  selected: boolean
  cursor: boolean
  open: boolean
  left: boolean
  flash: boolean
  onOpen: TableProps["onOpen"]
  onToggle: TableProps["onToggle"]
}

const isControl = (event: MouseEvent) => (event.target as HTMLElement).closest("a,input,button") !== null

const Row = memo(
  function Row({ job, index, columns, selected, cursor, open, left, flash, onOpen, onToggle }: RowProps) {
    const classes = ["click", cursor || open ? "cursor" : "", left ? "left" : "", flash ? "flash" : ""]
    return (
      <tr
        className={classes.filter(Boolean).join(" ")}
        aria-selected={selected}
        aria-rowindex={index + 2}
        data-job={job.id}
        title={left ? "No longer what was searched for" : undefined}
        onClick={(event) => {
          if (event.shiftKey) onToggle(index, true)
          else if (!isControl(event)) onOpen(job, index)
        }}
      >
        <td>
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label={`Select ${job.name} ${job.id.slice(-8)}`}
            checked={selected}
            onClick={(event) => event.stopPropagation()}
            onChange={(event) => onToggle(index, (event.nativeEvent as unknown as MouseEvent).shiftKey)}
          />
        </td>
        {columns.map(({ key, right, cell }) => (
          <td key={key} className={right ? "right" : undefined}>
            {cell(job)}
          </td>
        ))}
      </tr>
    )
  },
  // The callbacks are new on each rendering, and do the same.
  (before, after) =>
    before.job === after.job &&
    before.index === after.index &&
    before.columns === after.columns &&
    before.selected === after.selected &&
    before.cursor === after.cursor &&
    before.open === after.open &&
    before.left === after.left &&
    before.flash === after.flash,
)
