// A schedule with its next runs as one types: what the zone's clock shows then, also where it jumps.
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { queryClient } from "../api/client.ts"
import { suggest } from "../api/jobs.ts"
import { preview, putSchedule, type Schedule } from "../api/schedules.ts"
import { messageOf } from "../api/http.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { JsonField, readJson } from "../ui/json-field.tsx"
import { say } from "../ui/toast.tsx"
import { Runs } from "./runs.tsx"

const zones = Intl.supportedValuesOf("timeZone")
const localZone = Intl.DateTimeFormat().resolvedOptions().timeZone

export function ScheduleDialog({ schedule, onClose }: { schedule?: Schedule; onClose: () => void }) {
  const [key, setKey] = useState(schedule?.key ?? "")
  const [job, setJob] = useState(schedule?.job ?? "")
  const [when, setWhen] = useState(schedule?.cron ?? (schedule?.every ? `${schedule.every}ms` : "0 9 * * 1-5"))
  const [zone, setZone] = useState(schedule?.zone ?? localZone)
  const [payload, setPayload] = useState(() => JSON.stringify(schedule?.payload ?? {}, undefined, 2))
  const [overlap, setOverlap] = useState<string>(schedule?.overlap ?? "skip")
  const [error, setError] = useState<unknown>()
  const parsed = readJson(payload)
  const timing = timingOf(when)
  const names = useQuery({ queryKey: ["suggest", "name", ""], queryFn: () => suggest("name", "") }).data ?? []
  const ready = key.trim() !== "" && job.trim() !== "" && !("problem" in parsed)
  const save = async () => {
    if ("problem" in parsed || !ready) return
    try {
      await putSchedule(key.trim(), {
        job: job.trim(),
        payload: parsed.value,
        ...timing,
        zone,
        overlap,
        missed: schedule?.missed ?? "once",
      })
      say("Saved.")
      await queryClient.invalidateQueries({ predicate: ({ queryKey }) => String(queryKey[0]).startsWith("schedule") })
      onClose()
    } catch (thrown) {
      setError(thrown)
    }
  }
  return (
    <Dialog
      title={schedule ? `Change ${schedule.key}` : "New schedule"}
      wide
      onClose={onClose}
      onSubmit={() => void save()}
      error={error}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={!ready}>
            Save
          </Button>
        </>
      }
    >
      {schedule?.owner && (
        <p className="note warn">
          <span>Code declares this schedule ({schedule.owner}); its next start puts back what the code says.</span>
        </p>
      )}
      <div className="fields">
        <label className="field">
          <span>Key</span>
          <input
            autoFocus={!schedule}
            disabled={schedule !== undefined}
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Job</span>
          <input list="schedule-jobs" value={job} onChange={(event) => setJob(event.target.value)} />
          <datalist id="schedule-jobs">
            {names.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </label>
      </div>
      <div className="fields">
        <label className="field">
          <span>When</span>
          <input className="mono" value={when} onChange={(event) => setWhen(event.target.value)} />
          <small>A cron expression, or a time such as 30s or 2h.</small>
        </label>
        <label className="field">
          <span>Time zone</span>
          <input list="zones" value={zone} onChange={(event) => setZone(event.target.value)} />
          <datalist id="zones">
            {zones.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
        </label>
        <label className="field">
          <span>While one still runs</span>
          <select value={overlap} onChange={(event) => setOverlap(event.target.value)}>
            <option value="skip">skip the next</option>
            <option value="allow">run both</option>
            <option value="replace">replace it</option>
          </select>
        </label>
      </div>
      <Preview timing={timing} zone={zone} />
      <JsonField label="Payload" value={payload} onChange={setPayload} />
    </Dialog>
  )
}

type Timing = { cron: string } | { every: string }

const timingOf = (text: string): Timing =>
  /^\d+(\.\d+)?(ms|[smhdw])/.test(text.trim()) ? { every: text.trim() } : { cron: text.trim() }

function Preview({ timing, zone }: { timing: Timing; zone: string }) {
  const { data, error } = useQuery({
    queryKey: ["preview", timing, zone],
    queryFn: () => preview({ ...timing, zone, count: 10 }),
    placeholderData: (before) => before,
    retry: false,
  })
  return (
    <section className="preview" aria-live="polite">
      {error ? <p className="problem">{messageOf(error)}</p> : <p>{data?.description ?? " "}</p>}
      {data && !error && <Runs runs={data.runs} />}
    </section>
  )
}
