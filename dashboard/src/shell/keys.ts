// Shortcuts: single keys, and "g" with a letter. They rest while somebody types or a dialog is open.
import { useEffect, useRef } from "react"

export type Keymap = Readonly<Record<string, (event: KeyboardEvent) => void>>

const maps: { current: Keymap }[] = []
let prefix: string | undefined
let prefixTimer: ReturnType<typeof setTimeout> | undefined

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
  (target as HTMLInputElement).type !== "checkbox"

function nameOf(event: KeyboardEvent): string {
  const key = event.key.length === 1 ? event.key : event.key.toLowerCase()
  if (event.metaKey || event.ctrlKey) return `mod+${key.toLowerCase()}`
  return event.shiftKey && key.length > 1 ? `shift+${key}` : key
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey) return
  const name = nameOf(event)
  const global = name.startsWith("mod+")
  if (!global && (typing(event.target) || document.querySelector("dialog[open]"))) return
  // Enter and Space belong to what has the focus.
  if (
    (name === "enter" || name === " ") &&
    event.target instanceof HTMLElement &&
    event.target.closest("a,button,summary")
  )
    return
  const wanted = prefix === undefined ? name : `${prefix} ${name}`
  clearTimeout(prefixTimer)
  prefix = undefined
  for (const map of maps.toReversed()) {
    const act = map.current[wanted]
    if (!act) continue
    event.preventDefault()
    return act(event)
  }
  if (wanted !== "g") return
  prefix = "g"
  prefixTimer = setTimeout(() => (prefix = undefined), 1_200)
}

window.addEventListener("keydown", onKey)

/** The newest map is asked first. */
export function useKeys(map: Keymap): void {
  const latest = useRef(map)
  latest.current = map
  useEffect(() => {
    maps.push(latest)
    return () => void maps.splice(maps.indexOf(latest), 1)
  }, [])
}
