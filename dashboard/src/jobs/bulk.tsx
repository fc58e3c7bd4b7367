// Doing something with many jobs: first what it would mean, then the server does it, with progress, a stop and an undo.
import { useQuery } from "@tanstack/react-query"
import { useEffect, useState } from "react"
import { queryClient } from "../api/client.ts"
import {
  begin,
  dryRun,
  operation as readOperation,
  stopOperation,
  undoOperation,
  type BulkAction,
  type Operation,
  type Target,
} from "../api/operations.ts"
import { messageOf } from "../api/http.ts"
import { useMeta } from "../api/meta.ts"
import { number, plural } from "../format.ts"
import { useTopics } from "../live/events.ts"
import { Button } from "../ui/button.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { Skeleton } from "../ui/loading.tsx"
import { say } from "../ui/toast.tsx"

export const bulkWords: Record<
  BulkAction,
  { verb: string; done: string; danger: boolean; needs: string; key: string }
> = {
  retry: { verb: "Retry", done: "retried", danger: false, needs: "jobs:retry", key: "r" },
  "run-now": { verb: "Run now", done: "made ready", danger: false, needs: "jobs:run", key: "n" },
  cancel: { verb: "Cancel", done: "cancelled", danger: true, needs: "jobs:cancel", key: "c" },
  delete: { verb: "Delete", done: "deleted", danger: true, needs: "jobs:delete", key: "d" },
  move: { verb: "Move", done: "moved", danger: false, needs: "jobs:edit", key: "" },
  reprioritize: { verb: "Reprioritize", done: "reprioritized", danger: false, needs: "jobs:edit", key: "" },
}

interface BulkProps {
  action: BulkAction
  target: Target
  onClose: () => void
  onDone: () => void
}

export function BulkDialog({ action, target, onClose, onDone }: BulkProps) {
  const { environment } = useMeta()
  const words = bulkWords[action]
  const [value, setValue] = useState("")
  const [typed, setTyped] = useState("")
  const [running, setRunning] = useState<Operation>()
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const options = optionsOf(action, value)
  const ready = (action !== "move" && action !== "reprioritize") || value.trim() !== ""
  const dry = useQuery({
    queryKey: ["dry-run", action, target, options],
    queryFn: () => dryRun(action, target, options),
    enabled: ready,
    staleTime: 0,
    gcTime: 0,
  })
  const { value: count, capped } = dry.data?.total ?? { value: 0, capped: false }
  const title = `${words.verb} ${dry.data ? `${capped ? "more than " : ""}${plural(count, "job")}` : "jobs"}`
  const mustType = environment === "production" && words.danger && (count > 1 || capped)
  const start = async () => {
    if (busy || !dry.data || count === 0) return
    setBusy(true)
    try {
      setRunning(await begin(action, target, options, capped ? undefined : count))
    } catch (thrown) {
      setError(thrown)
      await dry.refetch()
    } finally {
      setBusy(false)
    }
  }
  if (running) return <Progress first={running} onClose={onClose} onDone={onDone} />
  return (
    <Dialog
      title={title}
      onClose={onClose}
      onSubmit={() => void start()}
      error={error ?? dry.error}
      footer={
        <>
          <Button onClick={onClose}>Keep as they are</Button>
          <Button
            kind={words.danger ? "danger primary" : "primary"}
            type="submit"
            disabled={busy || !dry.data || count === 0 || (mustType && typed !== String(count))}
          >
            {title}
          </Button>
        </>
      }
    >
      <Option action={action} value={value} onChange={setValue} />
      {"q" in target && (
        <p>
          Everything that <code className="tag">{target.q || "(every job)"}</code> finds.
        </p>
      )}
      {ready && !dry.data && !dry.error && <Skeleton rows={2} />}
      {"ids" in target && dry.data && <Sample ids={target.ids} />}
      {dry.data && <p className="meta">{consequence(action, dry.data.undoable)}</p>}
      {mustType && (
        <label className="field">
          <span>This is production. Type {count} to go on.</span>
          <input inputMode="numeric" value={typed} onChange={(event) => setTyped(event.target.value)} />
        </label>
      )}
    </Dialog>
  )
}

const consequence = (action: BulkAction, undoable: boolean): string =>
  `Those that cannot be ${bulkWords[action].done} as they are now stay as they are. ${
    undoable ? "It can be undone afterwards." : "It cannot be undone."
  }`

function optionsOf(action: BulkAction, value: string): Record<string, unknown> {
  if (action === "move") return { queue: value.trim() }
  return action === "reprioritize" ? { priority: Number(value) } : {}
}

function Option({ action, value, onChange }: { action: BulkAction; value: string; onChange: (value: string) => void }) {
  if (action !== "move" && action !== "reprioritize") return null
  return (
    <label className="field">
      <span>{action === "move" ? "To the queue" : "New priority"}</span>
      <input
        autoFocus
        type={action === "move" ? "text" : "number"}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  )
}

/** The rows are known already: the list has them. */
function Sample({ ids }: { ids: readonly string[] }) {
  return (
    <ul className="sample" aria-label="Some of them">
      {ids.slice(0, 4).map((id) => (
        <li key={id} className="mono muted cut">
          {id}
        </li>
      ))}
      {ids.length > 4 && <li className="meta">and {number(ids.length - 4)} more</li>}
    </ul>
  )
}

function Progress({ first, onClose, onDone }: { first: Operation; onClose: () => void; onDone: () => void }) {
  useTopics(`operation:${first.id}`)
  const { data } = useQuery({
    queryKey: ["operation", first.id],
    queryFn: () => readOperation(first.id),
    initialData: first,
    refetchInterval: ({ state }) => (state.data?.state === "running" ? 500 : false),
  })
  const over = data.state !== "running"
  useEffect(() => {
    if (!over) return
    onClose()
    onDone()
    finish(data)
  }, [over])
  const share = data.total.value === 0 ? 0 : Math.min(1, data.matched / data.total.value)
  return (
    <Dialog
      title={`${verbOf(data)}: ${number(data.matched)} of ${number(data.total.value)}${data.total.capped ? "+" : ""}`}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Go on without looking</Button>
          <Button kind="danger" onClick={() => void stopOperation(data.id)}>
            Stop
          </Button>
        </>
      }
    >
      <progress aria-label="Progress" max={1} value={share} />
      <p className="meta">The server does it in batches, also when this page is closed.</p>
    </Dialog>
  )
}

const verbOf = ({ action }: Operation): string => (action === "undo" ? "Undo" : bulkWords[action].verb)

function finish(operation: Operation): void {
  void queryClient.invalidateQueries()
  if (operation.state === "failed" || operation.state === "lost") {
    return say(operation.error ?? "The process that did it is gone; some may have been left out.")
  }
  const word = operation.action === "undo" ? "put back" : bulkWords[operation.action].done
  const refused = operation.refused > 0 ? `; ${number(operation.refused)} stayed as they were` : ""
  const stopped = operation.state === "stopped" ? " before it was stopped" : ""
  const text = `${plural(operation.changed, "job")} ${word}${stopped}${refused}.`
  say(text, operation.undoable > 0 ? { label: "Undo", act: () => void undoIt(operation) } : undefined)
}

/** Undoes, and waits until that is done. */
async function undoIt({ id }: Operation): Promise<void> {
  try {
    let undo = await undoOperation(id)
    while (undo.state === "running") {
      await new Promise((resolve) => setTimeout(resolve, 300))
      undo = await readOperation(undo.id)
    }
    finish(undo)
  } catch (error) {
    say(messageOf(error))
  }
}
