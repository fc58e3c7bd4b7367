import { useState } from "react"
import type { Job, JobError } from "../api/jobs.ts"
import { Code } from "../ui/copy.tsx"
import { Ago } from "../ui/time.tsx"

/** Newest first, the last one open. */
export function Errors({ job }: { job: Job }) {
  const [compare, setCompare] = useState(false)
  const errors = job.errors.toReversed()
  if (errors.length === 0) return null
  return (
    <section className="card">
      <header>
        <h2>{errors.length === 1 ? "Error" : `Errors of ${errors.length} attempts`}</h2>
        <span className="grow" />
        {errors.length > 1 && (
          <button
            type="button"
            className="button ghost small"
            aria-pressed={compare}
            onClick={() => setCompare(!compare)}
          >
            Compare the last two
          </button>
        )}
      </header>
      <div className="body stack tight">
        {compare ? (
          <Difference one={errors[1]!} other={errors[0]!} />
        ) : (
          errors.map((error, index) => <One key={error.attempt} error={error} open={index === 0} />)
        )}
      </div>
    </section>
  )
}

function One({ error, open }: { error: JobError; open: boolean }) {
  return (
    <details className="error" open={open}>
      <summary>
        <span className="tag">attempt {error.attempt}</span>
        <b className="bad">{error.name}</b>
        <span className="cut">{error.message}</span>
        <span className="meta">
          <Ago at={error.at} />
        </span>
      </summary>
      <Code label="Copy the stack">{error.stack ?? `${error.name}: ${error.message}`}</Code>
    </details>
  )
}

/** Lines that only one of them has. */
function Difference({ one, other }: { one: JobError; other: JobError }) {
  const [before, after] = [linesOf(one), linesOf(other)]
  const [had, has] = [new Set(before), new Set(after)]
  const rows = [
    ...before.filter((line) => !has.has(line)).map((line) => ({ sign: "−", line })),
    ...after.map((line) => ({ sign: had.has(line) ? " " : "+", line })),
  ]
  return (
    <div className="code">
      <pre tabIndex={0} className="difference" aria-label={`Attempt ${one.attempt} against ${other.attempt}`}>
        {rows.map(({ sign, line }, index) => (
          <span key={index} className={sign === "+" ? "added" : sign === "−" ? "removed" : ""}>
            {sign} {line}
            {"\n"}
          </span>
        ))}
      </pre>
    </div>
  )
}

const linesOf = (error: JobError): string[] => (error.stack ?? `${error.name}: ${error.message}`).split("\n")
