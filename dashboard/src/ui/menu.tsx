import { useEffect, useRef, useState, type ReactNode } from "react"
import { Button } from "./button.tsx"
import type { IconName } from "./icon.tsx"

/** A button with a list of buttons below it; closes on a choice, on Escape and on leaving. */
export function Menu(props: { label: string; icon?: IconName; text?: string; keep?: boolean; children: ReactNode }) {
  const { label, icon = "more", text, keep, children } = props
  const [open, setOpen] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (!open) return
    const leave = (event: PointerEvent) => !box.current?.contains(event.target as Node) && setOpen(false)
    window.addEventListener("pointerdown", leave)
    return () => window.removeEventListener("pointerdown", leave)
  }, [open])
  return (
    <div
      className="menu"
      ref={box}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return
        event.preventDefault()
        setOpen(false)
        box.current?.querySelector("button")?.focus()
      }}
    >
      <Button icon={icon} label={text ? undefined : label} aria-expanded={open} onClick={() => setOpen(!open)}>
        {text}
      </Button>
      {open && (
        <ul onClick={() => !keep && setOpen(false)} aria-label={label}>
          {children}
        </ul>
      )}
    </div>
  )
}
