import { fullTime, relative } from "../format.ts"
import { useTick } from "../live/tick.ts"

/** How long ago or until; in full when pointed at, and to screen readers' `datetime`. */
export function Ago({ at, fallback = "–" }: { at: string | undefined | null; fallback?: string }) {
  useTick()
  if (!at) return <span className="muted">{fallback}</span>
  return (
    <time dateTime={at} title={fullTime(at)}>
      {relative(at)}
    </time>
  )
}

export function Moment({ at }: { at: string | undefined | null }) {
  if (!at) return <span className="muted">–</span>
  return (
    <time dateTime={at} title={relative(at)}>
      {fullTime(at)}
    </time>
  )
}
