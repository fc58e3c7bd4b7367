import { useSyncExternalStore } from "react"

const query = matchMedia("(max-width: 900px)")

/** Whether the screen is a phone's. */
export const useNarrow = (): boolean =>
  useSyncExternalStore(
    (listener) => {
      query.addEventListener("change", listener)
      return () => query.removeEventListener("change", listener)
    },
    () => query.matches,
  )
