import { useId } from "react"

export function readJson(text: string): { value: unknown } | { problem: string } {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (error) {
    return { problem: (error as Error).message }
  }
}

interface JsonFieldProps {
  label: string
  value: string
  onChange: (text: string) => void
  autoFocus?: boolean
}

/** Text that has to be JSON, and says where it is not. */
export function JsonField({ label, value, onChange, autoFocus }: JsonFieldProps) {
  const id = useId()
  const read = readJson(value)
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        autoFocus={autoFocus}
        spellCheck={false}
        rows={Math.min(18, Math.max(6, value.split("\n").length + 1))}
        value={value}
        aria-invalid={"problem" in read}
        aria-describedby={`${id}-problem`}
        onChange={(event) => onChange(event.target.value)}
      />
      <small id={`${id}-problem`} className={"problem" in read ? "problem" : ""}>
        {"problem" in read ? read.problem : "JSON"}
      </small>
    </div>
  )
}
