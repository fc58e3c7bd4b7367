// What was deployed or changed, and when: the list of the lines on the charts.
import { useState } from "react"
import { addMark, removeMark, type Mark } from "../api/marks.ts"
import { useMay } from "../api/meta.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { Card } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { Table, type Col } from "../ui/table.tsx"
import { Moment } from "../ui/time.tsx"
import { useMarks } from "./use-marks.ts"

export function Marks() {
  const marks = useMarks()
  const may = useMay()
  const [open, setOpen] = useState(false)
  const write = may("marks:write")
  if (!may("marks:read")) return null
  return (
    <Card
      title="Marks"
      flush={marks.length > 0}
      actions={
        write && (
          <Button small icon="plus" onClick={() => setOpen(true)}>
            Add a mark
          </Button>
        )
      }
    >
      {marks.length === 0 ? (
        <p className="muted">
          None in this time. A deployment leaves one with <code>POST /api/v1/marks</code>, and all charts show it.
        </p>
      ) : (
        <Table label="Marks" rows={marks} cols={write ? [...cols, removal] : cols} keyOf={(mark) => mark.id} />
      )}
      {open && <Add onClose={() => setOpen(false)} />}
    </Card>
  )
}

const cols: readonly Col<Mark>[] = [
  { title: "At", cell: (mark) => <Moment at={mark.at} /> },
  { title: "Mark", cell: (mark) => <span className="name reason">{mark.text}</span> },
  { title: "By", wide: true, cell: (mark) => mark.createdBy },
]

const removal: Col<Mark> = {
  title: "Do",
  right: true,
  cell: (mark) => (
    <Button
      small
      icon="trash"
      kind="ghost"
      label={`Remove the mark ${mark.text}`}
      onClick={() => void run(() => removeMark(mark.id), "Removed.", "marks")}
    />
  ),
}

function Add({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("")
  const [at, setAt] = useState("")
  const moment = at === "" ? undefined : new Date(at)
  const wrong = text.trim() === "" || (moment !== undefined && Number.isNaN(moment.getTime()))
  const add = () => {
    if (wrong) return
    onClose()
    void run(() => addMark(text.trim(), moment?.toISOString()), "Marked.", "marks", "metrics") // charts end when they were asked for
  }
  return (
    <Dialog
      title="A mark on the charts"
      onClose={onClose}
      onSubmit={add}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={wrong}>
            Add the mark
          </Button>
        </>
      }
    >
      <label className="field">
        <span>What was done</span>
        <input autoFocus maxLength={200} value={text} onChange={(event) => setText(event.target.value)} />
      </label>
      <label className="field">
        <span>When, by this machine’s clock; empty: now</span>
        <input type="datetime-local" value={at} onChange={(event) => setAt(event.target.value)} />
      </label>
    </Dialog>
  )
}
