import { duration, now } from "../format.ts"
import { useTick } from "../live/tick.ts"
import { likeState } from "../ui/state.tsx"

export interface Bar {
  key: string
  state: string
  /** When it could have begun. */
  ready?: string
  start?: string
  end?: string
}

/** What ran when: one row per step, the wait before it hatched. */
export function Gantt({
  bars,
  chosen,
  onChoose,
}: {
  bars: readonly Bar[]
  chosen?: string
  onChoose: (key: string) => void
}) {
  useTick()
  const at = now()
  const times = bars.flatMap(({ ready, start, end }) =>
    [ready, start, end].filter((one) => one !== undefined).map((one) => Date.parse(one)),
  )
  if (times.length === 0) return <p className="muted">Nothing has begun.</p>
  const running = bars.some(({ start, end }) => start !== undefined && end === undefined)
  const [from, to] = [Math.min(...times), Math.max(...times, running ? at : 0)]
  const span = Math.max(to - from, 1)
  const share = (time: number) => `${((time - from) / span) * 100}%`
  return (
    <ol className="gantt" aria-label="What ran when">
      {bars.map((bar) => {
        const start = bar.start ? Date.parse(bar.start) : undefined
        const end = bar.end ? Date.parse(bar.end) : at
        const ready = bar.ready ? Date.parse(bar.ready) : start
        return (
          <li key={bar.key} className={`s-${likeState(bar.state)}${chosen === bar.key ? " chosen" : ""}`}>
            <button type="button" className="cut" onClick={() => onChoose(bar.key)}>
              {bar.key}
            </button>
            <span className="track">
              {ready !== undefined && start !== undefined && start > ready && (
                <i className="wait" style={{ left: share(ready), width: `${((start - ready) / span) * 100}%` }} />
              )}
              {start !== undefined && (
                <i style={{ left: share(start), width: `max(2px, ${((end - start) / span) * 100}%)` }} />
              )}
            </span>
            <span className="num muted">{start === undefined ? bar.state : duration(Math.max(0, end - start))}</span>
          </li>
        )
      })}
    </ol>
  )
}
