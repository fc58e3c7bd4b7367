// What a person likes, kept in this browser.
import { useSyncExternalStore } from "react"

export interface Preferences {
  theme: "system" | "light" | "dark"
  density: "compact" | "comfortable"
  /** "local", "UTC" or an IANA name. */
  zone: string
  /** Of the list of jobs; undefined: the usual ones. */
  columns?: readonly string[]
}

const initial: Preferences = { theme: "system", density: "compact", zone: "local" }
const key = "millrace"
const listeners = new Set<() => void>()
let current: Preferences = { ...initial, ...stored() }

function stored(): Partial<Preferences> {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "{}") as Partial<Preferences>
  } catch {
    return {}
  }
}

export const preferences = (): Preferences => current

export function prefer(changes: Partial<Preferences>): void {
  current = { ...current, ...changes }
  try {
    localStorage.setItem(key, JSON.stringify(current))
  } catch {
    // a browser that keeps nothing still shows everything
  }
  apply()
  for (const listener of listeners) listener()
}

export const usePreferences = (): Preferences =>
  useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, preferences)

const system = matchMedia("(prefers-color-scheme: dark)")

export const isDark = (): boolean => (current.theme === "system" ? system.matches : current.theme === "dark")

function apply(): void {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light"
  document.documentElement.dataset.density = current.density
}

export function applyPreferences(): void {
  system.addEventListener("change", () => prefer({}))
  apply()
}
