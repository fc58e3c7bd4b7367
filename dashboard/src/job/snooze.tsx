import { useState } from "react"
import { act, type Job } from "../api/jobs.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { attempt } from "./actions.tsx"

export function SnoozeDialog({ job, onClose }: { job: Job; onClose: () => void }) {
  const [time, setTime] = useState("10m")
  const save = () => {
    onClose()
    void attempt(() => act(job.id, "snooze", { for: time }), `It waits for ${time}.`, job.id)
  }
  return (
    <Dialog
      title={`Snooze ${job.name}`}
      onClose={onClose}
      onSubmit={save}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit">
            Snooze
          </Button>
        </>
      }
    >
      <label className="field">
        <span>For how long</span>
        <input autoFocus value={time} onChange={(event) => setTime(event.target.value)} />
        <small>Such as 90s, 10m, 2h or 1d. No attempt is used.</small>
      </label>
    </Dialog>
  )
}
