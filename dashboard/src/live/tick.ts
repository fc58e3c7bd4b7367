import { useSyncExternalStore } from "react"

// One timer for every age on the page.
const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined
let count = 0

function follow(listener: () => void): () => void {
  listeners.add(listener)
  timer ??= setInterval(() => {
    if (document.hidden) return
    count++
    for (const each of listeners) each()
  }, 1_000)
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0 || timer === undefined) return
    clearInterval(timer)
    timer = undefined
  }
}

/** Renders again each second. */
export const useTick = (): number => useSyncExternalStore(follow, () => count)
