// JSON as text, folded where it is long. Leaves of a payload lead to the jobs that have the same value there.
import { useState, type ReactNode } from "react"
import { quoteValue } from "../../../src/model/query.ts"
import { jobsAt, Link } from "../router.ts"
import { CopyButton } from "./copy.tsx"

const manyEntries = 40
const longText = 2_000

interface JsonProps {
  value: unknown
  label: string
  /** `payload` or `meta`: leaves are links to a search for them. */
  field?: "payload" | "meta"
}

export function Json({ value, label, field }: JsonProps) {
  if (value === undefined) return <span className="muted">nothing</span>
  return (
    <div className="code json">
      <pre tabIndex={0} aria-label={label}>
        <Value value={value} depth={0} path={[]} field={field} />
      </pre>
      <CopyButton text={JSON.stringify(value, undefined, 2)} label={`Copy ${label.toLowerCase()}`} />
    </div>
  )
}

interface ValueProps {
  value: unknown
  depth: number
  path: readonly string[]
  field: JsonProps["field"]
}

function Value({ value, depth, path, field }: ValueProps): ReactNode {
  if (Array.isArray(value))
    return <Entries open="[" close="]" entries={value.map((one) => ["", one])} {...{ depth, path, field }} />
  if (typeof value === "object" && value !== null) {
    return <Entries open="{" close="}" entries={Object.entries(value)} {...{ depth, path, field }} />
  }
  return <Leaf value={value} path={path} field={field} />
}

interface EntriesProps extends Omit<ValueProps, "value"> {
  open: string
  close: string
  entries: readonly (readonly [string, unknown])[]
}

function Entries({ open, close, entries, depth, path, field }: EntriesProps) {
  const [shown, setShown] = useState(entries.length > manyEntries || depth > 4 ? 20 : entries.length)
  if (entries.length === 0) return `${open}${close}`
  const indent = "  ".repeat(depth + 1)
  return (
    <>
      {open}
      {entries.slice(0, shown).map(([key, value], index) => (
        <span key={open === "[" ? index : key}>
          {"\n"}
          {indent}
          {open === "{" && <span className="key">{JSON.stringify(key)}: </span>}
          <Value
            value={value}
            depth={depth + 1}
            path={[...path, open === "{" ? key : String(index)]}
            field={open === "{" ? field : undefined}
          />
          {index < entries.length - 1 && ","}
        </span>
      ))}
      {shown < entries.length && (
        <>
          {"\n"}
          {indent}
          <button type="button" className="more" onClick={() => setShown(shown + 200)}>
            {entries.length - shown} more
          </button>
        </>
      )}
      {"\n"}
      {"  ".repeat(depth)}
      {close}
    </>
  )
}

function Leaf({ value, path, field }: Omit<ValueProps, "depth">) {
  const [whole, setWhole] = useState(false)
  const text = JSON.stringify(value) ?? "null"
  const long = !whole && text.length > longText
  const shown = long ? text.slice(0, longText) : text
  const kind = value === null ? "null" : typeof value
  if (long) {
    return (
      <>
        <span className={kind}>{shown}…</span>{" "}
        <button type="button" className="more" onClick={() => setWhole(true)}>
          {text.length - longText} more characters
        </button>
      </>
    )
  }
  if (!field || path.length === 0 || text.length > 200 || path.some((key) => /[.\s:]/.test(key))) {
    return <span className={kind}>{shown}</span>
  }
  const literal = typeof value === "string" ? quoteValue(value) : text
  return (
    <Link className={kind} to={jobsAt(`${field}.${path.join(".")}:${literal}`)} title="Jobs with this value here">
      {shown}
    </Link>
  )
}
