import { useSyncExternalStore } from "react"

export interface Store<T> {
  get(): T
  set(value: T): void
}

/** A value outside of React that components can follow. */
export function store<T>(initial: T): Store<T> & { use(): T } {
  let value = initial
  const listeners = new Set<() => void>()
  const get = () => value
  return {
    get,
    set(next) {
      if (Object.is(next, value)) return
      value = next
      for (const listener of listeners) listener()
    },
    use: () =>
      useSyncExternalStore((listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      }, get),
  }
}
