// The address bar is the store: page, query, selection and panel. Addresses are below <base>, which the server writes.
import { createElement, useSyncExternalStore, type AnchorHTMLAttributes, type MouseEvent } from "react"

export const base = new URL(document.baseURI).pathname.replace(/\/$/, "")

export interface Place {
  readonly path: string
  readonly params: URLSearchParams
}

const listeners = new Set<() => void>()
let place = read()

function read(): Place {
  const { pathname, search } = window.location
  const path = pathname.startsWith(base) ? pathname.slice(base.length) : pathname
  return { path: path === "" ? "/" : path, params: new URLSearchParams(search) }
}

function changed(): void {
  place = read()
  for (const listener of listeners) listener()
}

window.addEventListener("popstate", changed)

export const currentPlace = (): Place => place

export function usePlace(): Place {
  return useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, currentPlace)
}

export const href = (to: string): string => `${base}${to}`

export function navigate(to: string, { replace = false } = {}): void {
  if (`${place.path}${window.location.search}` === to) return
  const samePage = to.split("?")[0] === place.path
  window.history[replace ? "replaceState" : "pushState"]({}, "", href(to))
  changed()
  if (!samePage) window.scrollTo(0, 0)
}

/** Changes parameters of the present page; null or "" takes one out. */
export function setParams(changes: Readonly<Record<string, string | null>>, options?: { replace?: boolean }): void {
  const params = new URLSearchParams(place.params)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") params.delete(name)
    else params.set(name, value)
  }
  const search = params.toString()
  navigate(`${place.path}${search === "" ? "" : `?${search}`}`, options)
}

export const useParam = (name: string, fallback = ""): string => usePlace().params.get(name) ?? fallback

/** `{ id }` for `match("/jobs/:id", "/jobs/1")`; undefined where the path is another. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split("/")
  const given = path.replace(/(.)\/$/, "$1").split("/")
  if (wanted.length !== given.length) return undefined
  const found: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index]!
    if (part.startsWith(":")) found[part.slice(1)] = decode(value)
    else if (part !== value) return undefined
  }
  return found
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export interface LinkProps extends Omit<AnchorHTMLAttributes<HTMLAnchorElement>, "href"> {
  to: string
}

/** An anchor that stays one: modifiers, middle clicks and "copy link" work as everywhere. */
export function Link({ to, onClick, ...rest }: LinkProps) {
  return createElement("a", {
    ...rest,
    href: href(to),
    onClick: (event: MouseEvent<HTMLAnchorElement>) => {
      onClick?.(event)
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return
      event.preventDefault()
      navigate(to)
    },
  })
}

export const jobsAt = (q: string): string => `/jobs?q=${encodeURIComponent(q)}`
export const jobAt = (id: string): string => `/jobs/${encodeURIComponent(id)}`
export const queueAt = (name: string): string => `/queues/${encodeURIComponent(name)}`
