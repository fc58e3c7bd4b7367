// What can be done with one job, by button and by key.
import { lazy, Suspense, useState, type ReactNode } from "react"
import { queryClient } from "../api/client.ts"
import { messageOf } from "../api/http.ts"
import { act, isFinal, type Job } from "../api/jobs.ts"
import { useMay } from "../api/meta.ts"
import { jobAt, navigate } from "../router.ts"
import { useKeys } from "../shell/keys.ts"
import { Button } from "../ui/button.tsx"
import { copy } from "../ui/copy.tsx"
import type { IconName } from "../ui/icon.tsx"
import { Menu } from "../ui/menu.tsx"
import { say } from "../ui/toast.tsx"
import { BulkDialog } from "../jobs/bulk.tsx"
import { curlOf, markdownOf } from "./as-text.ts"
import { EditDialog } from "./edit.tsx"
import { SnoozeDialog } from "./snooze.tsx"

const CompareDialog = lazy(async () => ({ default: (await import("./compare.tsx")).CompareDialog }))

interface Action {
  key: string
  label: string
  icon: IconName
  can: boolean
  act: () => void
}

export async function refresh(id: string): Promise<void> {
  await Promise.all([
    queryClient.invalidateQueries({ queryKey: ["job", id] }),
    queryClient.invalidateQueries({ queryKey: ["overview"] }),
  ])
}

export async function attempt(what: () => Promise<unknown>, done: string, id: string): Promise<void> {
  try {
    await what()
    say(done)
  } catch (error) {
    say(messageOf(error))
  }
  await refresh(id)
}

type Open = "edit" | "clone" | "compare" | "snooze" | "cancel" | "delete"

export function JobActions({ job, panel }: { job: Job; panel: boolean }) {
  const may = useMay()
  const [open, setOpen] = useState<Open>()
  const final = isFinal(job.state)
  const waits = ["scheduled", "retrying", "blocked"].includes(job.state)
  const { id } = job
  const all: Action[] = [
    {
      key: "r",
      label: "Retry",
      icon: "retry",
      can: may("jobs:retry") && final,
      act: () => void attempt(() => act(id, "retry"), "It runs again.", id),
    },
    {
      key: "n",
      label: "Run now",
      icon: "play",
      can: may("jobs:run") && waits,
      act: () => void attempt(() => act(id, "run-now"), "It is ready now.", id),
    },
    { key: "c", label: "Cancel", icon: "stop", can: may("jobs:cancel") && !final, act: () => setOpen("cancel") },
    {
      key: "e",
      label: final ? "Edit and retry" : "Edit",
      icon: "edit",
      can: final ? may("jobs:push") : may("jobs:edit") && job.state !== "running",
      act: () => setOpen("edit"),
    },
    {
      key: "d",
      label: "Delete",
      icon: "trash",
      can: may("jobs:delete") && job.state !== "running",
      act: () => setOpen("delete"),
    },
  ]
  useKeys({
    ...Object.fromEntries(all.filter(({ can }) => can).map(({ key, act }) => [key, act])),
    y: () => void copy(id, "Id copied"),
    v: () => setOpen("compare"),
  })
  const close = () => setOpen(undefined)
  const shown = all.filter(({ can }) => can)
  return (
    <div className="row">
      {shown.map(({ key, label, icon, act }, index) => (
        <Button
          key={key}
          icon={icon}
          kind={index === 0 && (key === "r" || key === "n") ? "primary" : undefined}
          title={`${label} (${key})`}
          onClick={act}
        >
          {label}
        </Button>
      ))}
      <Menu label="More">
        {may("jobs:push") && <Item onClick={() => setOpen("clone")}>Clone…</Item>}
        {may("jobs:edit") && !final && job.state !== "running" && (
          <Item onClick={() => setOpen("snooze")}>Snooze…</Item>
        )}
        <Item onClick={() => setOpen("compare")}>Compare with another run…</Item>
        <Item onClick={() => void copy(id, "Id copied")}>Copy id</Item>
        <Item onClick={() => void copy(markdownOf(job), "Copied as Markdown")}>Copy as Markdown</Item>
        <Item onClick={() => void copy(curlOf(job), "Copied as curl")}>Copy as curl</Item>
      </Menu>
      {open === "edit" && <EditDialog job={job} panel={panel} onClose={close} />}
      {open === "clone" && <EditDialog job={job} panel={panel} clone onClose={close} />}
      {open === "compare" && (
        <Suspense>
          <CompareDialog job={job} onClose={close} />
        </Suspense>
      )}
      {open === "snooze" && <SnoozeDialog job={job} onClose={close} />}
      {(open === "cancel" || open === "delete") && (
        <BulkDialog
          action={open}
          target={{ ids: [id] }}
          onClose={close}
          onDone={() => {
            if (open === "delete" && window.location.pathname.endsWith(jobAt(id))) navigate("/jobs")
            void refresh(id)
          }}
        />
      )}
    </div>
  )
}

const Item = ({ onClick, children }: { onClick: () => void; children: ReactNode }) => (
  <li>
    <button type="button" onClick={onClick}>
      {children}
    </button>
  </li>
)
