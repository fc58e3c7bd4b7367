// The payload and the priority: changed in place while the job waits, or pushed as another job once it is over. Somebody
// else's change in between is refused.
import { useState } from "react"
import { cloneJob, editJob, isFinal, type Job, type JobChanges } from "../api/jobs.ts"
import { jobAt, navigate, setParams } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { JsonField, readJson } from "../ui/json-field.tsx"
import { say } from "../ui/toast.tsx"
import { refresh } from "./actions.tsx"

interface EditProps {
  job: Job
  clone?: boolean
  /** Shown beside a list: what is pushed anew is shown there as well. */
  panel: boolean
  onClose: () => void
}

export function EditDialog({ job, clone = false, panel, onClose }: EditProps) {
  const again = clone || isFinal(job.state)
  const [payload, setPayload] = useState(() => JSON.stringify(job.payload, undefined, 2) ?? "null")
  const [priority, setPriority] = useState(String(job.priority))
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const parsed = readJson(payload)
  const save = async () => {
    if ("problem" in parsed || busy) return
    setBusy(true)
    setError(undefined)
    try {
      if (again) await pushAgain(job, parsed.value, Number(priority), panel)
      else await saveEdit(job, changesOf(job, parsed.value, Number(priority)))
      onClose()
    } catch (thrown) {
      setError(thrown)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={clone ? `Clone ${job.name}` : again ? `Retry ${job.name} with changes` : `Edit ${job.name}`}
      wide
      onClose={onClose}
      onSubmit={() => void save()}
      error={error}
      footer={
        <>
          <span className="meta hide-narrow">
            <kbd>Ctrl</kbd> <kbd>Enter</kbd>
          </span>
          <span className="grow" />
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={busy || "problem" in parsed}>
            {clone ? "Push the copy" : again ? "Retry with these" : "Save"}
          </Button>
        </>
      }
    >
      {again && !clone && (
        <p className="meta">
          What ran stays as it was; a new job runs with the changes, and this page goes on with it.
        </p>
      )}
      <JsonField label="Payload" value={payload} onChange={setPayload} autoFocus />
      <label className="field short">
        <span>Priority</span>
        <input type="number" value={priority} onChange={(event) => setPriority(event.target.value)} />
      </label>
    </Dialog>
  )
}

function changesOf(job: Job, payload: unknown, priority: number): JobChanges {
  return {
    ...(JSON.stringify(payload) === JSON.stringify(job.payload) ? {} : { payload }),
    ...(priority === job.priority ? {} : { priority }),
  }
}

async function saveEdit(job: Job, changes: JobChanges): Promise<void> {
  if (Object.keys(changes).length > 0) await editJob(job.id, changes, job.version)
  say("Saved.")
  await refresh(job.id)
}

async function pushAgain(job: Job, payload: unknown, priority: number, panel: boolean): Promise<void> {
  const { id } = await cloneJob(job.id, payload, { priority })
  say("Pushed.", {
    label: "Back to the first",
    act: () => (panel ? setParams({ panel: job.id }) : navigate(jobAt(job.id))),
  })
  if (panel) setParams({ panel: id })
  else navigate(jobAt(id))
}
