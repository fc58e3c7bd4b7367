import { setParams, usePlace } from "../router.ts"
import { store } from "../store.ts"

/** More than these are remembered by the page, but not in its address. */
const mostInAddress = 25

const many = store<ReadonlySet<string> | undefined>(undefined)

export interface Selection {
  ids: ReadonlySet<string>
  set(ids: Iterable<string>): void
  toggle(id: string): void
  clear(): void
}

export function useSelection(): Selection {
  const { params } = usePlace()
  const text = params.get("sel") ?? ""
  const all = many.use()
  const ids = text === "many" && all ? all : new Set(text === "" || text === "many" ? [] : text.split(","))
  const set = (given: Iterable<string>) => {
    const next = new Set(given)
    const large = next.size > mostInAddress
    many.set(large ? next : undefined)
    setParams({ sel: next.size === 0 ? null : large ? "many" : [...next].join(",") }, { replace: true })
  }
  return {
    ids,
    set,
    toggle(id) {
      const next = new Set(ids)
      if (!next.delete(id)) next.add(id)
      set(next)
    },
    clear: () => set([]),
  }
}
