import { useEffect, useLayoutEffect, useState, type RefObject } from "react"

export interface Shown {
  from: number
  to: number
}

const around = 12

/** Which rows of a long table are near the screen, as the page scrolls. */
export function useShownRows(ref: RefObject<HTMLElement | null>, count: number, height: number): Shown {
  const [shown, setShown] = useState<Shown>({ from: 0, to: 50 })
  const measure = () => {
    const top = ref.current?.getBoundingClientRect().top ?? 0
    const from = Math.max(0, Math.floor(-top / height) - around)
    const to = Math.ceil((window.innerHeight - top) / height) + around
    setShown((before) => (before.from === from && before.to === to ? before : { from, to }))
  }
  useLayoutEffect(measure, [count, height])
  useEffect(() => {
    window.addEventListener("scroll", measure, { passive: true })
    window.addEventListener("resize", measure)
    return () => {
      window.removeEventListener("scroll", measure)
      window.removeEventListener("resize", measure)
    }
  }, [height])
  return { from: Math.min(shown.from, count), to: Math.min(shown.to, count) }
}
