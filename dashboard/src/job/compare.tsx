// One run against another of the same job: why did this fail, when that did not?
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { getJob, listJobs, type Job, type JobRow } from "../api/jobs.ts"
import { fullTime, shortId } from "../format.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { Await } from "../ui/loading.tsx"
import { Difference } from "./difference.tsx"
import { jsonLines } from "./lines.ts"

export function CompareDialog({ job, onClose }: { job: Job; onClose: () => void }) {
  const [chosen, setChosen] = useState("")
  const runs = useQuery({
    queryKey: ["runs", job.name],
    queryFn: () => listJobs(`name:${JSON.stringify(job.name)}`, undefined, 50),
  })
  const others = (runs.data?.jobs ?? []).filter(({ id }) => id !== job.id)
  const id = chosen || likely(others)?.id
  const other = useQuery({ queryKey: ["job", id], queryFn: () => getJob(id!), enabled: id !== undefined })
  return (
    <Dialog
      title={`${job.name}: this run against another`}
      wide
      onClose={onClose}
      footer={<Button onClick={onClose}>Close</Button>}
    >
      {runs.data && others.length === 0 ? (
        <p className="muted">There is no other run of this job.</p>
      ) : (
        <>
          <label className="field">
            <span>Against</span>
            <select autoFocus value={id ?? ""} onChange={(event) => setChosen(event.target.value)}>
              {others.map((one) => (
                <option
                  key={one.id}
                  value={one.id}
                >{`${one.state}, ${fullTime(one.createdAt)}, ${shortId(one.id)}`}</option>
              ))}
            </select>
          </label>
          {id !== undefined && <Await of={other}>{(found) => <Parts one={found} other={job} />}</Await>}
        </>
      )}
    </Dialog>
  )
}

/** The newest that went well, else the newest. */
const likely = (others: readonly JobRow[]): JobRow | undefined =>
  others.find(({ state }) => state === "succeeded") ?? others[0]

const errorLines = ({ errors }: Job): string[] => {
  const last = errors.at(-1)
  return last ? (last.stack ?? `${last.name}: ${last.message}`).split("\n") : ["none"]
}

function Parts({ one, other }: { one: Job; other: Job }) {
  const parts: [string, string[], string[]][] = [
    ["Payload", jsonLines(one.payload), jsonLines(other.payload)],
    ["Result", jsonLines(one.result), jsonLines(other.result)],
    ["Error", errorLines(one), errorLines(other)],
  ]
  return (
    <>
      <p className="meta">− is only in the other run, + only in this one.</p>
      {parts.map(([title, before, after]) => (
        <section key={title} className="stack tight">
          <h3>{title}</h3>
          {before.join("\n") === after.join("\n") ? (
            <p className="muted">The same in both.</p>
          ) : (
            <Difference one={before} other={after} label={`${title}: the other run against this one`} />
          )}
        </section>
      ))}
    </>
  )
}
