import { useState } from "react"
import type { Job, JobError } from "../api/jobs.ts"
import { Code } from "../ui/copy.tsx"
import { Ago } from "../ui/time.tsx"
import { Difference } from "./difference.tsx"

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
          <Difference
            one={linesOf(errors[1]!)}
            other={linesOf(errors[0]!)}
            label={`Attempt ${errors[1]!.attempt} against ${errors[0]!.attempt}`}
          />
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

const linesOf = (error: JobError): string[] => (error.stack ?? `${error.name}: ${error.message}`).split("\n")
