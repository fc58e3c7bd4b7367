// ⌘K: pages, queues, saved views, jobs by id, and searches, in one field.
import { useQuery } from "@tanstack/react-query"
import { useState, type ReactNode } from "react"
import { listQueues } from "../api/queues.ts"
import { listViews } from "../api/views.ts"
import { isDark, prefer } from "../preferences.ts"
import { jobAt, jobsAt, navigate, queueAt } from "../router.ts"
import { Dialog } from "../ui/dialog.tsx"
import { Icon, type IconName } from "../ui/icon.tsx"
import { entries, lowerEntries } from "./pages.ts"

interface Choice {
  key: string
  icon: IconName
  text: string
  hint?: string
  act: () => void
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

function useChoices(typed: string): Choice[] {
  const queues = useQuery({ queryKey: ["queues"], queryFn: listQueues }).data ?? []
  const views = useQuery({ queryKey: ["views"], queryFn: listViews, staleTime: 60_000 }).data ?? []
  const text = typed.trim()
  const go = (to: string) => () => navigate(to)
  const all: Choice[] = [
    ...[...entries, ...lowerEntries].map(({ to, title, icon, letter }) => ({
      key: to,
      icon,
      text: title,
      hint: `g ${letter}`,
      act: go(to),
    })),
    ...views.map(({ id, name, query }) => ({
      key: `view ${id}`,
      icon: "star" as const,
      text: name,
      hint: query,
      act: go(jobsAt(query)),
    })),
    ...queues.map(({ name }) => ({
      key: `queue ${name}`,
      icon: "queues" as const,
      text: name,
      hint: "queue",
      act: go(queueAt(name)),
    })),
    {
      key: "theme",
      icon: "moon",
      text: isDark() ? "Light theme" : "Dark theme",
      hint: "t",
      act: () => prefer({ theme: isDark() ? "light" : "dark" }),
    },
    { key: "push", icon: "plus", text: "Push a job", act: go("/jobs?push=1") },
    { key: "failed", icon: "errors", text: "Failed jobs", hint: "state:failed", act: go(jobsAt("state:failed")) },
  ]
  const found = all.filter((choice) => matches(`${choice.text} ${choice.hint ?? ""}`, text)).slice(0, 9)
  if (text === "") return found
  if (uuid.test(text)) return [{ key: "id", icon: "jobs", text: `Job ${text}`, act: go(jobAt(text)) }]
  return [...found, { key: "search", icon: "search", text: `Jobs: ${text}`, hint: "search", act: go(jobsAt(text)) }]
}

/** Every letter, in order. */
function matches(text: string, typed: string): boolean {
  let at = 0
  const whole = text.toLowerCase()
  for (const letter of typed.toLowerCase()) {
    at = whole.indexOf(letter, at) + 1
    if (at === 0) return false
  }
  return true
}

export function Palette({ onClose }: { onClose: () => void }) {
  const [typed, setTyped] = useState("")
  const [at, setAt] = useState(0)
  const choices = useChoices(typed)
  const chosen = Math.min(at, choices.length - 1)
  const take = (choice: Choice | undefined) => {
    if (!choice) return
    onClose()
    choice.act()
  }
  const move = (by: number) => setAt((chosen + by + choices.length) % Math.max(choices.length, 1))
  return (
    <Dialog title="Search or go to" onClose={onClose}>
      <input
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="palette"
        aria-activedescendant={choices[chosen] ? `palette-${chosen}` : undefined}
        aria-label="Search or go to"
        placeholder="A page, a queue, a job’s id, or a search such as state:failed"
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value)
          setAt(0)
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") move(1)
          else if (event.key === "ArrowUp") move(-1)
          else if (event.key === "Enter") take(choices[chosen])
          else return
          event.preventDefault()
        }}
      />
      <ul className="choices" role="listbox" id="palette" aria-label="Choices">
        {choices.map((choice, index) => (
          <Option key={choice.key} index={index} chosen={index === chosen} onTake={() => take(choice)}>
            <Icon name={choice.icon} />
            <span className="cut">{choice.text}</span>
            {choice.hint && <span className="meta cut">{choice.hint}</span>}
          </Option>
        ))}
      </ul>
    </Dialog>
  )
}

function Option(props: { index: number; chosen: boolean; onTake: () => void; children: ReactNode }) {
  return (
    <li
      id={`palette-${props.index}`}
      role="option"
      aria-selected={props.chosen}
      onPointerDown={(event) => event.preventDefault()}
      onClick={props.onTake}
    >
      {props.children}
    </li>
  )
}
