import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { pushJob, suggest } from "../api/jobs.ts"
import { listQueues } from "../api/queues.ts"
import { jobAt, navigate, useParam } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { JsonField, readJson } from "../ui/json-field.tsx"
import { say } from "../ui/toast.tsx"

export function PushDialog({ onClose }: { onClose: () => void }) {
  const given = useParam("push")
  const [name, setName] = useState(given === "1" ? "" : given)
  const [queue, setQueue] = useState("")
  const [payload, setPayload] = useState("{}")
  const [priority, setPriority] = useState("0")
  const [when, setWhen] = useState("")
  const [error, setError] = useState<unknown>()
  const names = useQuery({ queryKey: ["suggest", "name", ""], queryFn: () => suggest("name", "") }).data ?? []
  const queues = useQuery({ queryKey: ["queues"], queryFn: listQueues }).data ?? []
  const parsed = readJson(payload)
  const save = async () => {
    if ("problem" in parsed || name.trim() === "") return
    try {
      const options = { ...(queue && { queue }), ...(when && { runAt: when }), priority: Number(priority) }
      const { id, duplicate } = await pushJob({ name: name.trim(), payload: parsed.value, options })
      onClose()
      say(duplicate ? "Its unique key is taken; this is the job that holds it." : "Pushed.", {
        label: "Open it",
        act: () => navigate(jobAt(id)),
      })
    } catch (thrown) {
      setError(thrown)
    }
  }
  return (
    <Dialog
      title="Push a job"
      wide
      onClose={onClose}
      onSubmit={() => void save()}
      error={error}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={"problem" in parsed || name.trim() === ""}>
            Push
          </Button>
        </>
      }
    >
      <label className="field">
        <span>Name</span>
        <input autoFocus list="job-names" value={name} onChange={(event) => setName(event.target.value)} />
        <datalist id="job-names">
          {names.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      </label>
      <JsonField label="Payload" value={payload} onChange={setPayload} />
      <div className="fields">
        <label className="field">
          <span>Queue</span>
          <select value={queue} onChange={(event) => setQueue(event.target.value)}>
            <option value="">The job’s own</option>
            {queues.map((one) => (
              <option key={one.name}>{one.name}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>Priority</span>
          <input type="number" value={priority} onChange={(event) => setPriority(event.target.value)} />
        </label>
        <label className="field">
          <span>When</span>
          <input placeholder="now, or in 10m" value={when} onChange={(event) => setWhen(event.target.value)} />
        </label>
      </div>
    </Dialog>
  )
}
