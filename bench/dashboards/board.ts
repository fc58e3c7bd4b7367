// What is measured of each dashboard, and what has to be known of it to do so.
import type { Page } from "playwright-core"
import type { Run } from "../scenario.ts"
import type { Server } from "../server.ts"

export interface Board {
  readonly versions: Record<string, string>
  /** Where it is open, without a slash at the end. */
  readonly url: string
  /** Its main pages, below `url`. */
  readonly pages: readonly string[]
  readonly views: Readonly<Record<ViewName, View | null>>
  /** Run in the page of `list`: goes on to the next rows, and resolves to the ms until one of them is on the screen. */
  readonly turn: string
  /** Signs in, where that is needed. */
  enter?(page: Page): Promise<void>
}

export const viewNames = ["overview", "queue", "list", "deep", "search by id", "search by payload", "job"] as const
export type ViewName = (typeof viewNames)[number]

export interface View {
  readonly path: string
  /** CSS of what one came for: `rows` of them have to be there before the page counts as shown. */
  readonly shown: string
  readonly rows: number
}

export interface Place {
  readonly server: Server
  readonly jobs: number
  readonly say: Run["say"]
}

/** Fills in the jobs and opens the dashboard for as long as `look` takes; undefined where that is not possible here. */
export type Open = <T>(place: Place, look: (board: Board) => Promise<T>) => Promise<T | undefined>

/** Most jobs have ended, one in two hundred of them in failure, and one in twenty is still to come. */
export function mixOf(jobs: number): { waiting: number; finished: number } {
  const waiting = Math.floor(jobs / 20)
  return { waiting, finished: jobs - waiting }
}

export const QUEUES = 8

/** An expression for the page: calls `done` with the ms since now, in the first frame in which `test` is true. */
export const untilFrame = (test: string) => `new Promise((resolve) => {
  const start = performance.now()
  const look = () => ((${test}) ? resolve(performance.now() - start) : requestAnimationFrame(look))
  look()
})`

/** For lists with pages: clicks on what `next` finds, and looks for another first row. */
export const clickNext = (row: string, next: string) => `(() => {
  const first = () => document.querySelector(${JSON.stringify(row)})?.getAttribute("href")
  const before = first()
  ;(${next}).click()
  return ${untilFrame("first() && first() !== before")}
})()`
