import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { queryClient } from "../api/client.ts"
import { messageOf } from "../api/http.ts"
import { useMay } from "../api/meta.ts"
import { listViews, removeView, saveView } from "../api/views.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { say } from "../ui/toast.tsx"

/** Keeps a search under a name, for oneself or for everybody. */
export function SaveView({ q }: { q: string }) {
  const may = useMay()
  const [open, setOpen] = useState(false)
  const views = useQuery({ queryKey: ["views"], queryFn: listViews, staleTime: 60_000 }).data ?? []
  const saved = views.find((view) => view.query === q)
  if (!may("views:write") || q === "") return null
  const drop = async () => {
    try {
      await removeView(saved!.id)
      say("The view is gone.")
    } catch (error) {
      say(messageOf(error))
    }
    await queryClient.invalidateQueries({ queryKey: ["views"] })
  }
  return (
    <>
      <Button
        icon="star"
        kind="ghost"
        aria-pressed={saved !== undefined}
        onClick={() => (saved ? void drop() : setOpen(true))}
      >
        {saved ? saved.name : "Save view"}
      </Button>
      {open && <SaveDialog q={q} onClose={() => setOpen(false)} />}
    </>
  )
}

function SaveDialog({ q, onClose }: { q: string; onClose: () => void }) {
  const [name, setName] = useState("")
  const [shared, setShared] = useState(true)
  const [error, setError] = useState<unknown>()
  const save = async () => {
    if (name.trim() === "") return
    try {
      await saveView(name.trim(), q, shared)
      await queryClient.invalidateQueries({ queryKey: ["views"] })
      onClose()
    } catch (thrown) {
      setError(thrown)
    }
  }
  return (
    <Dialog
      title="Save this search"
      onClose={onClose}
      onSubmit={() => void save()}
      error={error}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={name.trim() === ""}>
            Save
          </Button>
        </>
      }
    >
      <p>
        <code className="tag">{q}</code>
      </p>
      <label className="field">
        <span>Name</span>
        <input autoFocus value={name} onChange={(event) => setName(event.target.value)} />
      </label>
      <label className="row">
        <input type="checkbox" checked={shared} onChange={(event) => setShared(event.target.checked)} />
        For everybody
      </label>
    </Dialog>
  )
}
