// One line that tells how far a pass is: redrawn in place on a terminal, at most once a second elsewhere.
import { bar, time, whole } from "./format.ts"
import type { Screen } from "./screen.ts"

export interface Standing {
  done: number
  total: number
  /** Shown only where it can be other than zero: the plain pass has no retries. */
  retries?: number
  failed: number
}

export interface Progress {
  show(standing: Standing): void
  /** Leaves the last standing on the screen. */
  end(): void
}

const lineEvery = 1000
const window = 3000

export function startProgress(screen: Screen, label: string, unit: string): Progress {
  const rate = movingRate()
  let last: Standing = { done: 0, total: 0, failed: 0 }
  let nextLine = performance.now() + lineEvery
  const text = () => render(screen, label, unit, last, rate.value())
  return {
    show(standing) {
      last = standing
      const now = performance.now()
      rate.add(now, standing.done)
      if (screen.live) screen.bottom(text())
      else if (now >= nextLine && standing.done < standing.total) {
        nextLine = now + lineEvery
        screen.line(text())
      }
    },
    end() {
      rate.finish()
      screen.clear()
      screen.line(text())
    },
  }
}

/** Per second, over the last few seconds; at the end, over all. */
function movingRate() {
  const samples = [{ at: performance.now(), done: 0 }]
  const first = samples[0]!
  let base = first
  return {
    add(at: number, done: number) {
      samples.push({ at, done })
      while (samples.length > 2 && samples[1]!.at < at - window) samples.shift()
      base = samples[0]!
    },
    finish: () => void (base = first),
    value() {
      const last = samples.at(-1)!
      return last.at > base.at ? ((last.done - base.done) * 1000) / (last.at - base.at) : 0
    },
  }
}

const remaining = (seconds: number) => (seconds < 99 ? `${Math.ceil(seconds)} s left` : `${time(seconds)} left`)

function render(screen: Screen, label: string, unit: string, standing: Standing, rate: number): string {
  const { done, total, failed, retries } = standing
  const share = total === 0 ? 1 : done / total
  const facts = [
    `${Math.floor(100 * share)}%`.padStart(4),
    `${whole(done)} of ${whole(total)}`,
    `${whole(rate)} ${unit}/s`,
    `${whole(failed)} failed`,
    ...(retries === undefined ? [] : [`${whole(retries)} retries`]),
    ...(done < total && rate > 0 ? [remaining((total - done) / rate)] : []),
  ]
  const head = `  ${label.padEnd(6)}`
  if (!screen.live) return `${head}${facts.join("  ")}`
  // What does not fit is left out from the right, so that the line never wraps.
  const width = Math.min(Math.max(screen.columns() - 75, 10), 30)
  const room = screen.columns() - head.length - width - 2
  while (facts.length > 1 && facts.join("  ").length >= room) facts.pop()
  const drawn = screen.paint.cyan(bar(share, width))
  const rest = facts.join("  ")
  return `${head}${drawn}  ${failed > 0 ? rest.replace(/\d\S* failed/, screen.paint.red) : rest}`
}
